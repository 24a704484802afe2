"""Routing: what it takes from Connexion, and what it must not do to the rest of the process."""

import subprocess
import sys
import warnings
from typing import Any

import pytest
from starlette import convertors
from starlette.convertors import FloatConvertor, IntegerConvertor

from stepstub.gate.routing import convertors_restored
from stepstub.gate.stack import gate

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from connexion.middleware.routing import RoutingMiddleware

USERS_ROUTE = """
import stepstub
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

def found(path):
    async def item(request):
        return PlainTextResponse("")
    routes = [Route("/items/{id:int}", item), Route("/prices/{price:float}", item)]
    return any(
        route.matches({"type": "http", "method": "GET", "path": path, "root_path": ""})[0].value
        for route in routes
    )

PATHS = ("/items/5", "/items/-5", "/prices/1.5", "/prices/-1.5")
before = [found(path) for path in PATHS]
with stepstub.InProcess(), stepstub.LiveServer():
    during = [found(path) for path in PATHS]
print(before == during == [True, False, True, False])
"""


def test_routes_of_the_application_under_test_stay_as_they_are() -> None:
    run = subprocess.run(
        [sys.executable, "-c", USERS_ROUTE], capture_output=True, text=True, timeout=60, check=True
    )
    assert run.stdout.strip() == "True"


def test_convertors_of_the_users_own_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    class Negative(IntegerConvertor):
        regex = "-?[0-9]+"

    mine = Negative()
    monkeypatch.setitem(convertors.CONVERTOR_TYPES, "int", mine)
    gate.__wrapped__(with_control=True)
    assert convertors.CONVERTOR_TYPES["int"] is mine


async def _app(scope: Any, receive: Any, send: Any) -> None:
    raise NotImplementedError


def test_connexion_still_replaces_them() -> None:
    """When this fails Connexion has changed, and `convertors_restored` can go."""
    with convertors_restored():
        RoutingMiddleware(_app)
        replaced = {name: convertors.CONVERTOR_TYPES[name] for name in ("int", "float")}
    assert type(replaced["int"]) is not IntegerConvertor
    assert type(replaced["float"]) is not FloatConvertor
    assert type(convertors.CONVERTOR_TYPES["int"]) is IntegerConvertor
    assert type(convertors.CONVERTOR_TYPES["float"]) is FloatConvertor
