"""What `serve --metrics` counts, as Prometheus reads it."""

import re

import requests

import stepstub
from stepstub.app import create_app
from stepstub.concurrency import EventLoopConcurrency
from stepstub.serving.server import serve_in_thread
from stepstub.settings import DEFAULT_TOKEN, Settings
from support import ROOT, processes
from test_control import check_documented

LINE = re.compile(
    r'(?P<name>[a-z_]+)(\{(?P<labels>[a-z]+="[^"\\\n]*"(,[a-z]+="[^"\\\n]*")*)\})? (?P<value>\S+)'
)


def complete(sandbox: stepstub.Sandbox, step_id: str) -> None:
    requests.post(
        sandbox.complete_step_url,
        json={"processStepId": step_id},
        headers=sandbox.headers,
        timeout=5,
    )


def read(url: str) -> dict[str, float]:
    """Every sample by its name and labels; the text has to be of the documented format."""
    response = requests.get(f"{url}/_stub/metrics", timeout=5)
    headers = {name.lower(): value for name, value in response.headers.items()}
    check_documented("getMetrics", response.status_code, headers, response.content)
    assert response.text.endswith("\n")
    samples = {}
    described: set[str] = set()
    for line in response.text.splitlines():
        if line.startswith("# "):
            described.add(line.split()[2])
            continue
        found = LINE.fullmatch(line)
        assert found, line
        base = re.sub(r"_(bucket|sum|count)$", "", found["name"])
        assert {found["name"], base} & described, line
        samples[line.rpartition(" ")[0]] = float(found["value"])
    return samples


def test_everything_that_a_stub_does_is_counted() -> None:
    settings = Settings(with_metrics=True, with_control=True)
    app = create_app(processes("two-steps"), settings, concurrency=EventLoopConcurrency())
    with serve_in_thread(app) as url:
        sandbox = stepstub.Sandbox(url, DEFAULT_TOKEN)
        sandbox.fault("before", "disconnect")
        sandbox.fault("after", "respond", status=503)
        for step_id in ("order-1-approve", "order-1-approve", "order-1-approve", "nowhere"):
            try:
                complete(sandbox, step_id)
            except requests.ConnectionError:
                continue
        found = read(url)
        with stepstub.Sandbox.create(url, DEFAULT_TOKEN):
            assert read(url)["stepstub_sandboxes"] == 2
    exchanges = {name: value for name, value in found.items() if "exchanges" in name}
    assert exchanges == {
        'stepstub_exchanges_total{status="0",code=""}': 1,
        'stepstub_exchanges_total{status="503",code=""}': 1,
        'stepstub_exchanges_total{status="412",code="STEP_COMPLETED"}': 1,
        'stepstub_exchanges_total{status="412",code="UNKNOWN_STEP"}': 1,
    }
    assert found['stepstub_faults_total{phase="before"}'] == 1
    assert found['stepstub_faults_total{phase="after"}'] == 1
    calls = 'stepstub_delegate_calls_total{kind="recorded",outcome="accepted"}'
    assert found[calls] == 1
    assert found["stepstub_contract_violations_total"] == 0
    assert found["stepstub_exchange_duration_seconds_count"] == 4
    buckets = [value for name, value in found.items() if "_bucket" in name]
    assert buckets == sorted(buckets)
    assert buckets[-1] == 4
    assert found["stepstub_exchange_duration_seconds_sum"] > 0


def test_metrics_are_there_without_a_control_api_too() -> None:
    settings = Settings(with_metrics=True, with_control=False)
    app = create_app(settings=settings, concurrency=EventLoopConcurrency())
    with serve_in_thread(app) as url:
        assert read(url)["stepstub_sandboxes"] == 1


def test_the_page_has_each_metric_with_its_type_and_labels() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text("utf-8")
    shown = {
        name: (kind, set(re.findall(r"`(\w+)`", labels)))
        for name, kind, labels in re.findall(
            r"^\| `(stepstub_\w+)` \| (\w+) \|([^|]*)\|", page, re.MULTILINE
        )
    }
    settings = Settings(with_metrics=True)
    app = create_app(processes("two-steps"), settings, concurrency=EventLoopConcurrency())
    with serve_in_thread(app) as url:
        sandbox = stepstub.Sandbox(url, DEFAULT_TOKEN)
        sandbox.fault("after", "respond", status=503)
        complete(sandbox, "order-1-approve")
        text = requests.get(f"{url}/_stub/metrics", timeout=5).text
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    labels: dict[str, set[str]] = {name: set() for name in kinds}
    for name, listed in re.findall(r"^(\w+?)(?:_bucket)?\{(.*)\}", text, re.MULTILINE):
        labels[name] |= set(re.findall(r'(\w+)="', listed))
    assert shown == {name: (kind, labels[name]) for name, kind in kinds.items()}
