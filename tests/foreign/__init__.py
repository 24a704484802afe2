"""Servers that are not ours, for the conformance suite to judge.

Each is written as users of its framework write one who have the document and nothing else, with
everything that the framework does by itself. Where ordinary practice contradicts the document, the
server does so, and the tests expect the suite to say it.

flask_server.py    Flask: HTML errors, nothing is validated
fastapi_server.py  FastAPI: pydantic models, `{"detail": ...}`
spring_server.py   what Spring Boot, Jackson and Spring Security do, by Starlette
express/           Express, in a process of its own (needs Node.js)
gateway.py         a proxy in front of any of them that limits, fails and drops requests
workflow.py        the processes behind the Python ones
serving.py         puts them on sockets
"""
