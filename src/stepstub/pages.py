"""The contract to read: as a file, as a page to try it on (Swagger UI), and its readings."""

from html import escape

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

from stepstub.exchange import exchange_of
from stepstub.readings import DEFAULT, Readings, as_mapping, questions
from stepstub.sandbox import Sandbox

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


def pages() -> ASGIApp:
    """An ASGI application for everything that is no operation; what it does not know is a 404.

    What it shows is the effective contract of the default sandbox.
    """
    router = Router(
        [
            Route("/", _home),
            # Browsers ask for it by themselves, and are no clients whose journal should show it.
            Route("/favicon.ico", _icon),
            Route("/openapi.yaml", _as_yaml),
            Route("/openapi.json", _as_json),
            Route("/docs", _page),
            Route("/docs/start.js", _start),
            Route("/docs/readings", _readings),
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


async def _home(request: Request) -> Response:
    return RedirectResponse("/docs")


async def _icon(request: Request) -> Response:
    return RedirectResponse("/docs/assets/favicon-32x32.png")


async def _as_yaml(request: Request) -> Response:
    return PlainTextResponse(_shown(request).contract.text, media_type="application/yaml")


async def _as_json(request: Request) -> Response:
    return JSONResponse(_shown(request).contract.document)


async def _page(request: Request) -> Response:
    return HTMLResponse(_PAGE)


async def _start(request: Request) -> Response:
    return Response(_START, media_type="text/javascript")


async def _readings(request: Request) -> Response:
    return HTMLResponse(_readings_page(_shown(request).readings))


def _shown(request: Request) -> Sandbox:
    return exchange_of(request.scope).stub.sandboxes.default


_READINGS = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Readings of this stub</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 48rem; }}
body {{ margin: 2rem auto; padding: 0 1rem; }}
h2 {{ font-size: 1.05rem; margin: 1.5rem 0 0; }}
p, ul {{ margin: .2rem 0; }}
.chosen {{ font-weight: 600; }}
.changed {{ border-left: 4px solid #9a6700; padding-left: .6rem; }}
</style>
</head>
<body>
<h1>Readings of this stub</h1>
<p>The questions that the document leaves open, and how the default sandbox reads them. What differs
from the default is marked. <a href="/docs">The contract</a></p>
{sections}
</body>
</html>
"""


def _readings_page(readings: Readings) -> str:
    """Every reading with its values; the one in force stands out, also where it is not ours."""
    chosen, ours = as_mapping(readings), as_mapping(DEFAULT)
    sections = []
    for name, question in questions().items():
        values = question.meanings or {chosen[name]: ""}
        items = "".join(
            f"<li{_class('chosen', value == chosen[name])}>{escape(str(value))}"
            f"{': ' if meaning else ''}{escape(meaning)}"
            f"{' (in force)' if value == chosen[name] else ''}</li>"
            for value, meaning in values.items()
        )
        sections.append(
            f'<section id="{name}"{_class("changed", chosen[name] != ours[name])}>'
            f"<h2>{name}</h2><p>{question.number}. {escape(question.text)}</p>"
            f"<ul>{items}</ul></section>"
        )
    return _READINGS.format(sections="\n".join(sections))


def _class(name: str, applies: bool) -> str:
    return f' class="{name}"' if applies else ""
