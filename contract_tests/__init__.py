"""The conformance suite, for the stub and for any server.

findings.py   what a run can find: violations of the document, deviations from our reading
server.py     the server under test: sends the documented operation, examines every response
steps.py      where steps to complete come from
stub.py       the one seam to our own stub: processes in the state that a case needs
cases.py      the table of named cases
generated.py  the cases whose requests Schemathesis makes up
plugin.py     the suite as pytest tests (options, table); test_conformance.py is their body

`stepstub.verify` runs the cases and reports; nothing here knows of a report.
"""
