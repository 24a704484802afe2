"""The conformance suite, for the stub and for any server.

test_conformance.py  every case as a pytest test
plugin.py            the suite under pytest: options, the run, the report
run.py               one run against one server
selection.py         which of the cases a run has
plan.py              what a run will use, and what it will not cover
progress.py          what a run is doing at the moment
rendering/           a report as text, JSON, JUnit XML and HTML; learnt readings as a profile
asked.py             readings that were asked for, and the deviations from them
drift.py             what has changed since an earlier profile
results.py           results of cases, and the verdict that they add up to
probes/              learns how the server reads what the document leaves open
cases/               what is sent in which situation, and what has to come back
steps.py             where the steps come from that the cases complete
seeding.py           the user's command that prints ids of fresh steps
shell.py             a shell command within bounds of time and memory
needs.py             the states that cases need steps in
stub.py              control of a Stepstub under test
server.py            the server under test: sends requests, examines every response
expectations.py      what the document and our reading of it let a server do
findings.py          violations and deviations
transport.py         one request, sent again where trouble kept its response away
failures.py          what an attempt to get a response can meet
pace.py              when requests may be sent
curl.py              a request as a curl line
connection.py        how a server is reached
redaction.py         keeps secrets out of reports
credentials.py       how requests show that they are authorised

Imports run from the top downwards. `stepstub verify` is in `stepstub.verify`.
"""
