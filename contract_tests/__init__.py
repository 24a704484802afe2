"""The conformance suite, for the stub and for any server.

test_conformance.py  every case as a pytest test
plugin.py            the suite under pytest: options, the run, the report
run.py               one run against one server
rendering/           a report as text, JSON, JUnit XML and HTML; learnt readings as a profile
results.py           results of cases, and the verdict that they add up to
probes/              learns how the server reads what the document leaves open
cases/               what is sent in which situation, and what has to come back
steps.py             where the steps come from that the cases complete
stub.py              control of a Stepstub under test
server.py            the server under test: sends requests, examines every response
expectations.py      what the document and our reading of it let a server do
findings.py          violations and deviations
curl.py              a request as a curl line
credentials.py       how requests show that they are authorised

Imports run from the top downwards. `stepstub verify` is in `stepstub.verify`.
"""
