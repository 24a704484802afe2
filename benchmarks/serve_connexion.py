"""Connexion's AsyncApp with default settings, the same contract and a stateless handler."""

import argparse
import json
import warnings
from pathlib import Path
from typing import Any

import uvicorn
import yaml

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from connexion import AsyncApp
    from connexion.exceptions import Unauthorized
    from connexion.resolver import Resolver

_CONTRACT = Path(__file__).parents[1] / "openapi.yaml"


def check(token: str) -> dict[str, Any]:
    if token != "stub-token":
        raise Unauthorized
    return {}


def application(response: dict[str, Any]) -> AsyncApp:
    async def complete_step(body: dict[str, Any]) -> dict[str, Any]:
        return response

    contract = yaml.safe_load(_CONTRACT.read_text("utf-8"))
    contract["components"]["securitySchemes"]["bearer"]["x-bearerInfoFunc"] = (
        "serve_connexion.check"
    )
    app = AsyncApp(__name__)
    app.add_api(contract, resolver=Resolver({"completeStep": complete_step}.__getitem__))
    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--response", type=Path, required=True)
    options = parser.parse_args()
    uvicorn.run(
        application(json.loads(options.response.read_bytes())),
        host="127.0.0.1",
        port=options.port,
        http="httptools",
        loop="uvloop",
        log_level="error",
        access_log=False,
    )


if __name__ == "__main__":
    main()
