"""`control.yaml` and the types of the control API say the same, member by member."""

from typing import Any

import pytest
from msgspec import NODEFAULT, Struct
from msgspec.structs import FieldInfo, fields

from stepstub import contract, views
from stepstub.errors import Violation
from stepstub.faults import Fault
from stepstub.model import Param
from stepstub.variations import Variation
from stepstub.verification import Verification

SCHEMAS = contract.control_document()["components"]["schemas"]

TYPES: dict[str, type[Struct]] = {
    "Clock": views.ClockView,
    "ClockChange": views.ClockChange,
    "Delegate": views.DelegateView,
    "DelegateCall": views.DelegateCallView,
    "DelegateCallList": views.DelegateCallList,
    "Exchange": views.ExchangeView,
    "Fault": Fault,
    "FaultList": views.FaultList,
    "FaultRequest": views.FaultRequest,
    "Health": views.HealthView,
    "Readiness": views.ReadinessView,
    "InitialProcesses": views.SandboxStart,
    "Journal": views.ExchangeList,
    "NewProcess": views.ProcessSpec,
    "NewSandbox": views.SandboxRequest,
    "ConnectionRefusal": views.ConnectionRefusal,
    "NewStep": views.StepSpec,
    "Param": Param,
    "Process": views.ProcessView,
    "ProcessList": views.ProcessList,
    "ProcessRequest": views.ProcessStart,
    "ReadingList": views.ReadingsView,
    "ReadingUse": views.ReadingUse,
    "Refusal": views.RefusalView,
    "Sandbox": views.SandboxCreated,
    "SandboxList": views.SandboxList,
    "SandboxSummary": views.SandboxView,
    "Step": views.StepView,
    "Token": views.TokenView,
    "TokenRequest": views.TokenRequest,
    "Variation": Variation,
    "Vary": views.VaryView,
    "Verification": Verification,
    "VerificationRequest": views.VerificationRequest,
    "Violation": Violation,
}
# Not records of their own: enumerations, dictionaries, alternatives; and errors, which nobody
# builds from parts.
OTHERS = {
    *("DelegateKind", "FaultAction", "FaultHeaders", "FaultPhase", "FaultPlace"),
    *("OpenApiDocument", "ParamType", "Status"),
    *("HttpDelegate", "NewDelegate", "Params", "Problem", "ReadingValues", "Violations"),
}


def by_name(type_: type[Struct]) -> dict[str, FieldInfo]:
    return {field.encode_name: field for field in fields(type_)}


def test_every_schema_has_its_type() -> None:
    assert set(SCHEMAS) == set(TYPES) | OTHERS


@pytest.mark.parametrize("name", TYPES)
def test_the_members_are_the_same(name: str) -> None:
    assert set(SCHEMAS[name]["properties"]) == set(by_name(TYPES[name]))


@pytest.mark.parametrize("name", TYPES)
def test_what_is_required_has_no_default(name: str) -> None:
    required = {
        member
        for member, field in by_name(TYPES[name]).items()
        if field.default is NODEFAULT and field.default_factory is NODEFAULT
    }
    if name == "Fault":
        required.add("id")  # which the store gives
    if name == "NewStep":
        required = set()  # the client sends a whole step, others leave out what they like
    assert set(SCHEMAS[name].get("required", [])) == required


@pytest.mark.parametrize("name", TYPES)
def test_the_defaults_are_the_same(name: str) -> None:
    defaults: dict[str, Any] = {
        member: schema["default"]
        for member, schema in SCHEMAS[name]["properties"].items()
        if "default" in schema
    }
    known = by_name(TYPES[name])
    assert {member: known[member].default for member in defaults} == defaults
