"""Shared state: a store in a server of its own, Valkey or Redis.

`link` is the connection, `scripts` what is run in the server, `records` the form in which records
are kept there, `store` the state of one sandbox and `directory` which sandboxes there are. The
decision is made in Python and written by compare and set: a script knows no reading and no status.
"""
