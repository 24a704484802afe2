"""Pages on which a person sees what a client did, why it was refused, and who moved a step.

The console is a client of the control API in the same process: what it shows and does, any test
could. From the outside in::

    mount        ASGI: a bounded body, and a thread for the rest
    rendered     pages as they were rendered last, for all who look at the same
    site         the application: what all pages share, and what becomes of errors
    guard        who may see them, and which forms are accepted
    sessions     who has logged in
    pages        what is shown
    driving      what is changed: clock, faults, processes, a reset, a replay
    here         the sandbox that a page is about
    live         the state of a sandbox at one moment, as far as a page shows it
    calling      the control API, called on the server's event loop
    retelling    an exchange as a command, as a test, as a scenario, and against another one
    lanes        processes as rows of steps
    text         whatever a client sent, made visible
"""
