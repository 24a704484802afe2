"""Connexion at work: what a request passes before its handler is called.

routing.py       path and method to an operation
credentials.py   which sandbox the request belongs to, and the control token
body.py          strict JSON, checked against the contract; the parameters
stack.py         the three, put together

A gate knows no state: whatever belongs to one stub, a request brings along on its exchange. So one
gate serves every stub of a process, and another stub costs next to nothing. Connexion is known here
and nowhere else.
"""
