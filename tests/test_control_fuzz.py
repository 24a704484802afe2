"""The control API, fuzzed by its own document: whatever is sent, responses are as documented."""

import warnings
from collections import Counter
from functools import cache
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase

from stepstub import contract, scenario
from stepstub.app import create_app
from stepstub.concurrency import EventLoopConcurrency, run_inline
from stepstub.serving.server import serve_in_thread
from stepstub.settings import Limits, Settings
from stepstub.stub import Stub

with warnings.catch_warnings():  # what it imports is not under test
    warnings.simplefilter("ignore")
    import schemathesis
    from schemathesis import GenerationMode

EXAMPLES = 10
SEED = 20260329
DOCUMENT = contract.control_document()
OPERATIONS = {
    operation["operationId"]: (method, path, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}
KNOWN = {"processId": "order-1", "processStepId": "order-1-approve"}


def can_be_wrong(operation: dict[str, Any]) -> bool:
    """Whether a request can be malformed: any text will do in a path."""
    return "requestBody" in operation or any(
        not each.get("$ref", "").endswith(("/ProcessId", "/ProcessStepId"))
        for each in operation.get("parameters", [])
    )


RUNS = [
    (operation_id, mode)
    for operation_id, (_, _, operation) in OPERATIONS.items()
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    if mode is GenerationMode.POSITIVE or can_be_wrong(operation)
]
RUNS.remove(("refuseConnections", GenerationMode.POSITIVE))  # nothing could be sent after it


@pytest.fixture(scope="module")
def stub() -> Stub:
    return create_app(
        settings=Settings(with_metrics=True, limits=Limits(journal=50, sandboxes=100_000)),
        concurrency=EventLoopConcurrency(),
    )


@cache
def schema(mode: GenerationMode) -> Any:
    """The document as Schemathesis sees it, with every check on."""
    document = DOCUMENT
    if mode is GenerationMode.NEGATIVE:
        # Or it would mostly be the token that is wrong, and nothing behind it be reached.
        document = {name: value for name, value in document.items() if name != "security"}
    statuses = {
        # Whether a scenario, a step or an id is there, a schema cannot say.
        "positive_data_acceptance": ["2xx", 400, 404, 409, 502],
        "negative_data_rejection": [400],
        "not_a_server_error": ["2xx", "4xx", 502],
    }
    checks = {check: {"expected-statuses": each} for check, each in statuses.items()}
    config = schemathesis.Config.from_dict({"seed": SEED, "checks": checks})
    return schemathesis.openapi.from_dict(document, config=config)


@pytest.fixture(scope="module")
def url(stub: Stub) -> Any:
    with serve_in_thread(stub) as address:
        yield address
    assert stub.violations == 0


@pytest.mark.parametrize(("operation_id", "mode"), RUNS)
@pytest.mark.filterwarnings("ignore")  # those of the tool, in its own code
def test_whatever_is_sent(stub: Stub, url: str, operation_id: str, mode: GenerationMode) -> None:
    method, path, operation = OPERATIONS[operation_id]
    processes = scenario.load("two-steps").processes
    statuses: Counter[int] = Counter()

    def attempt(case: Any) -> None:
        # A world of its own for each example, or what it gets would hang on those before it.
        _, token = run_inline(stub.sandboxes.create(processes))
        attempts = statuses.total()
        if operation_id == "verifyCompleted" and mode is GenerationMode.POSITIVE:
            case.body["withinSeconds"] = min(case.body.get("withinSeconds", 0), 0.01)
        if operation_id == "startProcess" and mode is GenerationMode.POSITIVE and attempts % 2:
            # The schema cannot say that a scenario and steps exclude each other.
            case.body = {"steps": case.body.get("steps", [{}])}
        if case.path_parameters and attempts % 2:
            case.path_parameters = {name: KNOWN[name] for name in case.path_parameters}
        headers = {"Authorization": f"Bearer {token}"}
        response = case.call_and_validate(base_url=url, headers=headers)
        statuses[response.status_code] += 1

    fuzz = hypothesis.given(case=schema(mode)[path][method].as_strategy(generation_mode=mode))
    settings = hypothesis.settings(
        max_examples=EXAMPLES if can_be_wrong(operation) or "{" in path else 1,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    hypothesis.seed(SEED)(settings(fuzz(attempt)))()

    if mode is GenerationMode.NEGATIVE:
        assert statuses[400]
    else:
        assert any(status < 300 for status in statuses)
