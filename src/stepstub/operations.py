"""The operations of the stub, a row each, and the two APIs they belong to.

Whatever depends on which operation a request is for, or which API, is looked up here.
"""

from collections.abc import Mapping
from http import HTTPStatus

from stepstub.exchange import Api, Operation
from stepstub.handlers import control
from stepstub.handlers.complete_step import complete_step
from stepstub.responses.problem import Problem

_ROWS = (
    Operation("completeStep", complete_step, faultable=True),
    Operation("getHealth", control.get_health),
    Operation("getReadiness", control.get_readiness),
    Operation("getMetrics", control.get_metrics),
    Operation("getControlDocument", control.get_control_document),
    Operation("listSandboxes", control.list_sandboxes),
    Operation("createSandbox", control.create_sandbox, HTTPStatus.CREATED),
    Operation("getSandbox", control.get_sandbox),
    Operation("getReadings", control.get_readings),
    Operation("deleteSandbox", control.delete_sandbox, HTTPStatus.NO_CONTENT),
    Operation("resetSandbox", control.reset_sandbox),
    Operation("listProcesses", control.list_processes),
    Operation("startProcess", control.start_process, HTTPStatus.CREATED),
    Operation("getProcess", control.get_process),
    Operation("getStep", control.get_step),
    Operation("failStep", control.fail_step),
    Operation("listExchanges", control.list_exchanges),
    Operation("clearJournal", control.clear_journal, HTTPStatus.NO_CONTENT),
    Operation("verifyCompleted", control.verify_completed),
    Operation("listFaults", control.list_faults),
    Operation("addFault", control.add_fault, HTTPStatus.CREATED),
    Operation("clearFaults", control.clear_faults, HTTPStatus.NO_CONTENT),
    Operation("issueToken", control.issue_token, HTTPStatus.CREATED),
    Operation("limitToken", control.limit_token, HTTPStatus.NO_CONTENT),
    Operation("refuseConnections", control.refuse_connections, HTTPStatus.NO_CONTENT),
    Operation("getClock", control.get_clock),
    Operation("setClock", control.set_clock),
    Operation("listDelegateCalls", control.list_delegate_calls),
)

OPERATIONS: Mapping[str, Operation] = {row.id: row for row in _ROWS}
"""The operations by their id, that of `openapi.yaml` or `control.yaml`."""

_CONTROL = Api("/_stub/", responses=Problem())
_CONSOLE = Api("/_stub/console", pages="console", responses=Problem())
_CONTRACT = Api("/", pages="contract", is_contract=True)


def api_of(path: str) -> Api:
    """The API that a path belongs to, whether or not it leads to an operation."""
    if not path.startswith(_CONTROL.prefix):
        return _CONTRACT
    inside = path == _CONSOLE.prefix or path.startswith(f"{_CONSOLE.prefix}/")
    return _CONSOLE if inside else _CONTROL
