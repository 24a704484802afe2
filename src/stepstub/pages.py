"""The contract to read: as a file, and as a page on which it can be tried (Swagger UI)."""

from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
)
from starlette.routing import Mount, Route, Router
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from swagger_ui_bundle import swagger_ui_path

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Complete Step: the contract</title>
<link rel="stylesheet" href="/docs/assets/swagger-ui.css">
<link rel="icon" href="/docs/assets/favicon-32x32.png">
</head>
<body>
<div id="contract"></div>
<noscript>This page needs JavaScript; there is also <a href="/openapi.yaml">the file</a>.</noscript>
<script src="/docs/assets/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""

# "Try it out" has to reach this very server, whatever port it listens on.
_START = """fetch("/openapi.json")
  .then((response) => response.json())
  .then((spec) => {
    spec.servers = [{ url: window.location.origin, description: "This stub" }];
    SwaggerUIBundle({
      spec,
      dom_id: "#contract",
      docExpansion: "full",
      validatorUrl: null,
      // Whatever else is served from this host and port some day would find the token.
      persistAuthorization: false,
    });
  });
"""

_HEADERS = {
    "Content-Security-Policy": "; ".join(
        [
            "default-src 'self'",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data:",
            # None of these falls back to default-src.
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    ),
    "X-Content-Type-Options": "nosniff",
}


def pages(text: str, document: dict[str, Any]) -> ASGIApp:
    """An ASGI application for everything that is no operation; what it does not know is a 404.

    The contract comes as it was written and parsed.
    """

    async def as_yaml(request: Request) -> Response:
        return PlainTextResponse(text, media_type="application/yaml")

    async def as_json(request: Request) -> Response:
        return JSONResponse(document)

    async def page(request: Request) -> Response:
        return HTMLResponse(_PAGE)

    async def start(request: Request) -> Response:
        return Response(_START, media_type="text/javascript")

    async def home(request: Request) -> Response:
        return RedirectResponse("/docs")

    router = Router(
        [
            Route("/", home),
            Route("/openapi.yaml", as_yaml),
            Route("/openapi.json", as_json),
            Route("/docs", page),
            Route("/docs/start.js", start),
            Mount("/docs/assets", StaticFiles(directory=swagger_ui_path)),
        ],
        redirect_slashes=False,
    )

    async def with_headers(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await router(scope, receive, send_with_headers)

    return with_headers
