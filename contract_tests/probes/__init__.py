"""Learns how a server reads what the document leaves open, from its responses alone.

refused.py    requests that any server refuses: statuses, credentials, other paths
submitted.py  params and bodies that some servers accept and others refuse
completed.py  what the 200s show
common.py     what all responses have in common
prober.py     sends the requests, and keeps track of the steps they are about
learnt.py     the values that were seen, each with its evidence
remedies.py   what would make the others seen

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


def learn(
    server: Server,
    steps: StepPool,
    redact: Callable[[str], str] = str,
    shown: Callable[[str], None] = lambda sent: None,
) -> Learnt:
    """Ask a server for its readings; `redact` removes secrets from the evidence.

    `shown` is told what each request is, in words, before it is sent.

    What a lax server might accept goes last, each time about a STARTED step. Steps whose requests
    were refused are completed afterwards, which shows that the request was refused and not the
    step. Without enough steps some readings stay unknown, and so do those that were not asked yet
    when learning has to end early.
    """
    prober = Prober(server, steps, shown)
    notes = Notes(redact, lambda: prober.unfinished)
    for name, why in _FROM_INSIDE.items():
        notes.unseen(name, why)
    refused.learn(prober, notes)
    refused.learn_given(prober, notes)
    completed.learn_first(prober, notes)
    trials = submitted.ask(prober)
    prober.settle()
    submitted.learn(trials, notes)
    completed.follow_to_the_end(prober)
    completed.learn(prober, notes)
    common.learn(prober, notes)
    completions = [
        (each.step_id, each.exchange.response)
        for each in prober.completions
        if each.exchange.response
    ]
    return notes.learnt(prober.exchanges, completions)
