"""Learns how a server reads what the document leaves open, from its responses alone.

refused.py    requests that any server refuses: statuses, credentials, other paths
submitted.py  params and bodies that some servers accept and others refuse
completed.py  what the 200s show
common.py     what all responses have in common
prober.py     sends the requests, and keeps track of the steps they are about
learnt.py     the values that were seen, each with its evidence

A value that was not seen is unknown, never guessed. Nothing here knows what server it talks to.
"""

from collections.abc import Callable

from stepstub.contract_tests.probes import common, completed, refused, submitted
from stepstub.contract_tests.probes.learnt import Learnt, Notes
from stepstub.contract_tests.probes.prober import Prober
from stepstub.contract_tests.server import Server
from stepstub.contract_tests.steps import StepPool

_FROM_INSIDE = {
    "next-step-started": "only the delegate of the next step could tell",
    "delegate-failure": "no request makes a delegate fail",
}


def learn(server: Server, steps: StepPool, redact: Callable[[str], str] = str) -> Learnt:
    """Ask a server for its readings; `redact` removes secrets from the evidence.

    What a lax server might accept goes last, each time about a STARTED step. Steps whose requests
    were refused are completed afterwards, which shows that the request was refused and not the
    step. Without enough steps some readings stay unknown.
    """
    prober, notes = Prober(server, steps), Notes(redact)
    refused.learn(prober, notes)
    refused.learn_given(prober, notes)
    completed.learn_first(prober, notes)
    trials = submitted.ask(prober)
    prober.settle()
    submitted.learn(trials, notes)
    completed.follow_to_the_end(prober)
    completed.learn(prober, notes)
    common.learn(prober, notes)
    for name, why in _FROM_INSIDE.items():
        notes.unseen(name, why)
    return notes.learnt(len(prober.completions), len(prober.exchanges))
