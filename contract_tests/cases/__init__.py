"""The cases of the suite.

case.py          what a case is, and what the cases of a run share
witness.py       the step that all refused requests are about
expect.py        the status that a case gets, by the document and by the server's readings
senders.py       how a request differs from a plain completion
checks.py        what else a response must have beside its status
undocumented.py  cases about no step
trials.py        cases whose bodies some servers accept and others refuse
sequences.py     cases that need more than one request
refusals.py      the table of cases that change nothing
completions.py   the table of cases that complete steps
generated.py     cases whose requests Schemathesis generates

Cases that change nothing run before those that complete a step: one STARTED step goes a long way.
"""

from stepstub.contract_tests.cases import completions, generated, refusals
from stepstub.contract_tests.cases.case import Case

ALL_CASES: tuple[Case, ...] = (
    *refusals.CASES,
    *generated.REFUSALS_GENERATED,
    *completions.CASES,
    *generated.COMPLETIONS_GENERATED,
)
