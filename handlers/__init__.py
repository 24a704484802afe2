"""What the operations do: one function per operationId, and the bearer check.

A handler is given the exchange and returns what goes into the response; it never touches a lock, a
clock or a header.
"""
