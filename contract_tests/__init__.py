"""The conformance suite, for the stub and for any server.

test_conformance.py  every case as a pytest test
plugin.py            the suite under pytest: options, the run, the report
run.py               one run against one server
rendering/           a report as text, annotations, JSON, JUnit XML and HTML; the profile
selection.py         which of the cases a run has
asked.py             readings that were asked for, and the deviations from them
drift.py             what has changed since an earlier profile
results.py           results of cases, and the verdict that they add up to
plan.py              what a run will use, and what it will not cover
probes/              learns how the server reads what the document leaves open
cases/               what is sent in which situation, and what has to come back
steps.py             where the steps come from that the cases complete
seeding.py           the user's command that prints ids of fresh steps
stub.py              control of a Stepstub under test
server.py            the server under test: sends requests and has every response examined
transport.py         one request, sent again where trouble kept its response away
failures.py          what an attempt to get a response can meet
pace.py              when requests may be sent
curl.py              a request as a curl line
examination.py       what is wrong with a response, whatever it is the response to
expectations.py      what the document and the server's readings say of its responses
causes.py            the causes that several parts of the suite find
forms.py             the forms of what the document leaves open
response.py          a response, and what can be read from it
findings.py          what a run can find, and how bad it is
needs.py             the states that cases need steps in
progress.py          what a run is doing at the moment
unknown.py           ids that no step has
shell.py             a shell command within bounds of time and memory
connection.py        how a server is reached
credentials.py       how requests show that they are authorised
redaction.py         keeps secrets out of reports

Imports run from the top downwards. `stepstub verify` is in `stepstub.verify`.
"""
