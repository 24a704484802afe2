"""HTTP/1.1 over TCP for one ASGI application.

    workers      several processes that accept on one socket, and their supervisor
    server       uvicorn: the listening socket, signals, the grace period
    connection   one connection: order of responses, timeouts, flow control
    request      one request and its response, as ASGI's `receive` and `send`
    hosts        which hosts requests may be for
    head         a request's head, and what is wrong with it
    framing      bounds heads, chunk-size lines and trailers
    upgrades     httptools' parser, declining every upgrade

Of the application it knows the ASGI callable, and `refuse(status, detail)`, which renders media
type and body of a response that the application never hears of. Nothing outside imports uvicorn or
httptools.
"""
