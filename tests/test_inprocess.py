"""The stub without a socket: whatever requests and httpx can send reaches the application."""

import asyncio
import io
import json
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
import responses
from requests.adapters import HTTPAdapter
from urllib3 import Retry

import stepstub
from stepstub.delegates import StepStart
from stepstub.model import Status

STEP = "order-1-approve"
NEXT = "order-1-ship"
BODY = json.dumps({"processStepId": STEP})
DELEGATE = "http://third-party.test/steps"


@pytest.fixture
def sandbox(stepstub: stepstub.InProcess) -> stepstub.InProcess:
    stepstub.start_process("two-steps")
    return stepstub


def post(sandbox: stepstub.Sandbox, step_id: str = STEP) -> requests.Response:
    return requests.post(
        sandbox.complete_step_url,
        json={"processStepId": step_id},
        headers=sandbox.headers,
        timeout=5,
    )


@pytest.fixture
def other_host() -> Iterator[str]:
    """A server that is none of ours; echoes what it was sent."""

    class Echo(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/echo"
        server.shutdown()
        thread.join()


def parts() -> Iterator[bytes]:
    yield BODY[:10].encode()
    yield BODY[10:].encode()


@pytest.mark.parametrize(
    "body",
    [
        BODY,
        BODY.encode(),
        bytearray(BODY.encode()),
        io.BytesIO(BODY.encode()),
        io.StringIO(BODY),
        parts(),
    ],
    ids=["str", "bytes", "bytearray", "file", "text file", "iterator"],
)
def test_a_body_may_come_as_anything(sandbox: stepstub.InProcess, body: Any) -> None:
    headers = {**sandbox.headers, "Content-Type": "application/json"}
    response = requests.post(sandbox.complete_step_url, data=body, headers=headers, timeout=5)
    assert response.status_code == 200, response.text
    assert sandbox.journal()[0].body == BODY


def test_a_body_may_come_from_a_real_file(sandbox: stepstub.InProcess, tmp_path: Path) -> None:
    file = tmp_path / "body.json"
    file.write_text(BODY)
    headers = {**sandbox.headers, "Content-Type": "application/json"}
    with file.open("rb") as body:
        response = requests.post(sandbox.complete_step_url, data=body, headers=headers, timeout=5)
    assert response.status_code == 200


def test_the_response_is_that_of_a_server(sandbox: stepstub.InProcess) -> None:
    response = post(sandbox)
    assert response.json()["data"]["processStepId"] == NEXT
    assert response.headers["content-type"] == "application/json"
    assert response.reason == "OK"
    page = requests.get(f"{sandbox.url}/openapi.yaml", timeout=5)
    assert page.text.startswith("openapi:")
    assert requests.head(f"{sandbox.url}/openapi.yaml", timeout=5).status_code == 200
    assert requests.get(sandbox.url, timeout=5).status_code < 500


def test_sessions_with_their_own_headers_and_hooks(sandbox: stepstub.InProcess) -> None:
    seen: list[int] = []
    with requests.Session() as session:
        session.headers.update(sandbox.headers)
        session.hooks["response"].append(lambda response, **_: seen.append(response.status_code))
        for _ in range(2):
            session.post(sandbox.complete_step_url, json={"processStepId": STEP}, timeout=(1, 5))
    assert seen == [200, 412]


def retrying(**options: Any) -> requests.Session:
    session = requests.Session()
    retry = Retry(total=3, backoff_factor=0, allowed_methods=None, **options)
    session.mount("http://", HTTPAdapter(max_retries=retry))
    return session


@pytest.mark.parametrize("body", [BODY, io.BytesIO(BODY.encode())], ids=["str", "file"])
def test_retries_of_a_session_meet_each_fault(sandbox: stepstub.InProcess, body: Any) -> None:
    sandbox.fault("before", status=500, times=2)
    headers = {**sandbox.headers, "Content-Type": "application/json"}
    with retrying(status_forcelist=[500]) as session:
        response = session.post(sandbox.complete_step_url, data=body, headers=headers, timeout=5)
    assert response.status_code == 200
    assert [exchange.status for exchange in sandbox.journal()] == [500, 500, 200]


def test_retries_that_are_used_up(sandbox: stepstub.InProcess) -> None:
    sandbox.fault("before", status=500, times=10)
    with retrying(status_forcelist=[500]) as session, pytest.raises(requests.exceptions.RetryError):
        session.post(
            sandbox.complete_step_url,
            json={"processStepId": STEP},
            headers=sandbox.headers,
            timeout=5,
        )
    assert len(sandbox.journal()) == 4


@pytest.fixture
def either(either: stepstub.Sandbox) -> stepstub.Sandbox:
    """The sandbox of each kind with two steps: what a client meets is the same."""
    either.start_process("two-steps")
    return either


def outcome(sandbox: stepstub.Sandbox, retry: Retry | int, timeout: float = 5) -> object:
    """What a session gets that retries like this: a status or an error."""
    with requests.Session() as session:
        session.mount("http://", HTTPAdapter(max_retries=retry))
        try:
            return session.post(
                sandbox.complete_step_url,
                json={"processStepId": STEP},
                headers=sandbox.headers,
                timeout=timeout,
            ).status_code
        except requests.RequestException as error:
            return type(error)


@pytest.mark.parametrize(
    ("retry", "expected", "attempts"),
    [
        (0, requests.ConnectionError, 1),
        (Retry(3), requests.ConnectionError, 1),  # not for POST, unless it is told to
        (Retry(3, allowed_methods=None), 200, 3),
        (Retry(3, read=1, allowed_methods=None), requests.ConnectionError, 2),
        (Retry(1, allowed_methods=None), requests.ConnectionError, 2),
    ],
    ids=["none", "not POST", "enough", "too few for reading", "too few"],
)
def test_retries_of_a_broken_connection(
    either: stepstub.Sandbox, retry: Retry | int, expected: object, attempts: int
) -> None:
    either.fault("before", "disconnect", times=2)
    assert outcome(either, retry) == expected
    assert len(either.journal()) == attempts


@pytest.mark.parametrize(("total", "expected"), [(3, 200), (2, requests.exceptions.RetryError)])
def test_statuses_and_broken_connections_count_together(
    either: stepstub.Sandbox, total: int, expected: object
) -> None:
    for options in ({"status": 503}, {"action": "disconnect"}, {"status": 503}):
        either.fault("before", **options)  # type: ignore[arg-type]
    retry = Retry(total, status_forcelist=[503], allowed_methods=None, backoff_factor=0)
    assert outcome(either, retry) == expected


@pytest.mark.parametrize(
    ("retry", "expected"),
    [(0, requests.ReadTimeout), (Retry(1, allowed_methods=None), requests.ConnectionError)],
    ids=["none", "one"],
)
def test_retries_of_a_time_out(
    either: stepstub.Sandbox, retry: Retry | int, expected: object
) -> None:
    either.fault("before", "delay", seconds=0.5, times=2)
    assert outcome(either, retry, timeout=0.2) == expected


def test_other_hosts_are_reached(sandbox: stepstub.InProcess, other_host: str) -> None:
    assert requests.post(other_host, data="hello", timeout=5).text == "hello"
    assert sandbox.journal() == []


@pytest.mark.parametrize("host", ["stepstub.test.example", "astepstub.test", "stepstub.test:81"])
def test_a_host_that_only_looks_alike_is_not_ours(sandbox: stepstub.InProcess, host: str) -> None:
    sandbox.responses.add(responses.GET, f"http://{host}/", body="other")
    assert requests.get(f"http://{host}/", timeout=5).text == "other"
    assert sandbox.journal() == []


def test_a_test_may_intercept_more(sandbox: stepstub.InProcess) -> None:
    sandbox.responses.add(responses.GET, "http://prices.test/1", json={"price": 3})
    assert requests.get("http://prices.test/1", timeout=5).json() == {"price": 3}
    assert post(sandbox).status_code == 200


def test_a_mock_that_was_there_before_has_the_rest(other_host: str) -> None:
    with responses.RequestsMock() as outer:
        outer.add(responses.GET, "http://prices.test/1", json={"price": 3})
        with stepstub.InProcess() as sandbox:
            sandbox.start_process("two-steps")
            assert requests.get("http://prices.test/1", timeout=5).json() == {"price": 3}
            with pytest.raises(requests.ConnectionError, match="refused by Responses"):
                requests.post(other_host, data="never sent", timeout=5)
            assert post(sandbox).status_code == 200


def test_the_outer_of_two_is_still_reached() -> None:
    with stepstub.InProcess(url="http://one.test") as one:
        one.start_process("two-steps")
        with stepstub.InProcess(url="http://two.test") as two:
            assert post(one).status_code == 200
            assert post(two).status_code == 412
        assert post(one).status_code == 412
    assert [exchange.status for exchange in one.journal()] == [200, 412]


def test_starting_to_intercept_twice_is_starting_once(
    sandbox: stepstub.InProcess, other_host: str
) -> None:
    sandbox.responses.start()
    assert requests.post(other_host, data="hello", timeout=5).text == "hello"


@responses.activate
def test_another_active_mock_hides_the_stub_until_it_ends(sandbox: stepstub.InProcess) -> None:
    # The innermost mock has the say. Inside it the stub is not reached by requests, though it is
    # by its own methods; that is why `.responses` is there to add to.
    with responses.RequestsMock() as inner:
        inner.add(responses.POST, sandbox.complete_step_url, status=503)
        assert post(sandbox).status_code == 503
    assert sandbox.journal() == []
    assert sandbox.step(STEP).status is Status.STARTED


def test_it_ends_with_its_context(other_host: str) -> None:
    send = HTTPAdapter.send
    with stepstub.InProcess(url=other_host.removesuffix("/echo")) as sandbox:
        assert post(sandbox).status_code == 412
    assert HTTPAdapter.send is send
    assert requests.post(other_host, data="back", timeout=5).text == "back"


def test_two_at_two_addresses() -> None:
    with (
        stepstub.InProcess(url="http://one.test") as one,
        stepstub.InProcess(url="http://two.test") as two,
    ):
        one.start_process("two-steps")
        assert post(two).status_code == 412
        assert two.journal()[0].status == 412
    assert one.step(STEP).status is Status.STARTED


@pytest.mark.parametrize(
    "url", ["https://api.example.test", "http://api.test/", "http://a.test:81"]
)
def test_the_address_is_free(url: str) -> None:
    with stepstub.InProcess(url=url) as sandbox:
        sandbox.start_process("two-steps")
        assert post(sandbox).status_code == 200


def test_an_address_may_have_a_path() -> None:
    with stepstub.InProcess(url="https://gateway.test/workflow") as sandbox:
        sandbox.start_process("two-steps")
        assert sandbox.complete_step_url.startswith("https://gateway.test/workflow/api/v1/")
        assert post(sandbox).status_code == 200


def test_httpx(sandbox: stepstub.InProcess) -> None:
    path = "/api/v1/processes/complete-step"
    with httpx.Client(
        transport=sandbox.httpx_transport(), base_url=sandbox.url, headers=sandbox.headers
    ) as client:
        response = client.post(path, json={"processStepId": STEP})
        assert (response.status_code, response.json()["data"]["processStepId"]) == (200, NEXT)
        assert client.post(path, content=parts()).status_code == 412
        sandbox.fault("before", "disconnect")
        with pytest.raises(httpx.RemoteProtocolError):
            client.post(path, json={"processStepId": NEXT})
        sandbox.fault("before", "delay", seconds=10)
        with pytest.raises(httpx.ReadTimeout):
            client.post(path, json={"processStepId": NEXT}, timeout=3)
        sandbox.fault("after", "malformed")
        assert client.get("/nowhere").status_code == 404


def test_httpx_without_a_thread_to_wait_in(sandbox: stepstub.InProcess) -> None:
    path = "/api/v1/processes/complete-step"

    async def parts() -> AsyncIterator[bytes]:
        yield BODY[:10].encode()
        yield BODY[10:].encode()

    async def use() -> None:
        async with httpx.AsyncClient(
            transport=sandbox.httpx_transport(), base_url=sandbox.url, headers=sandbox.headers
        ) as client:
            json_type = {"content-type": "application/json"}
            response = await client.post(path, content=parts(), headers=json_type)
            assert (response.status_code, response.json()["data"]["processStepId"]) == (200, NEXT)
            sandbox.fault("before", "disconnect")
            with pytest.raises(httpx.RemoteProtocolError):
                await client.post(path, json={"processStepId": NEXT})
            sandbox.fault("before", "delay", seconds=10)
            with pytest.raises(httpx.ReadTimeout):
                await client.post(path, json={"processStepId": NEXT}, timeout=3)
            both = [client.post(path, json={"processStepId": NEXT}) for _ in range(2)]
            responses = await asyncio.gather(*both)
            assert [response.status_code for response in responses] == [412, 412]

    asyncio.run(use())


def test_httpx_may_be_asked_by_a_delegate_in_the_same_loop(sandbox: stepstub.InProcess) -> None:
    """The stub holds up no event loop while it waits for a delegate."""
    path = "/api/v1/processes/complete-step"

    async def use() -> int:
        loop = asyncio.get_running_loop()
        async with httpx.AsyncClient(
            transport=sandbox.httpx_transport(), base_url=sandbox.url, headers=sandbox.headers
        ) as client:

            def delegate(start: StepStart) -> None:
                body = {"processStepId": start.process_step_id}
                call = asyncio.run_coroutine_threadsafe(client.post(path, json=body), loop)
                assert call.result(10).status_code == 200

            sandbox.on_delegate(delegate)
            return (await client.post(path, json={"processStepId": STEP})).status_code

    assert asyncio.run(use()) == 200
    assert sandbox.step(NEXT).status is Status.COMPLETED


@pytest.mark.parametrize("fault", ["disconnect", "delay"])
@pytest.mark.parametrize("kind", [httpx.Client, httpx.AsyncClient])
def test_httpx_raises_what_it_does_with_a_connection(
    stepstub: stepstub.InProcess, stepstub_sandbox: stepstub.Sandbox, kind: Any, fault: Any
) -> None:
    def raised(sandbox: Any, **options: Any) -> object:
        sandbox.start_process("two-steps")
        sandbox.fault("before", fault, seconds=0.5 if fault == "delay" else None)
        request = {"url": sandbox.complete_step_url, "json": {"processStepId": STEP}}
        options |= {"headers": sandbox.headers, "timeout": 0.2, "trust_env": False}

        async def use() -> None:
            async with httpx.AsyncClient(**options) as client:
                await client.post(**request)

        def use_either() -> None:
            if kind is httpx.AsyncClient:
                asyncio.run(use())
            else:
                with httpx.Client(**options) as client:
                    client.post(**request)

        with pytest.raises(httpx.HTTPError) as caught:
            use_either()
        return caught.type

    expected = raised(stepstub_sandbox)
    assert raised(stepstub, transport=stepstub.httpx_transport()) is expected


def test_a_python_delegate_is_told(sandbox: stepstub.InProcess) -> None:
    told: list[StepStart] = []
    sandbox.on_delegate(told.append)
    requests.post(
        sandbox.complete_step_url,
        json={"processStepId": STEP, "params": {"n": {"longValue": 3}}},
        headers=sandbox.headers,
        timeout=5,
    )
    (start,) = told
    assert (start.process_id, start.process_step_id) == ("order-1", NEXT)
    assert set(start.params) == {"carrier", "n"}
    sandbox.on_delegate(None)
    post(sandbox, NEXT)
    assert len(told) == 1


@pytest.mark.parametrize("where", ["stepstub", "stepstub_sandbox"])
def test_a_python_delegate_that_raises(request: pytest.FixtureRequest, where: str) -> None:
    sandbox: stepstub.Sandbox = request.getfixturevalue(where)
    sandbox.start_process("two-steps")

    def fails(start: StepStart) -> None:
        raise RuntimeError("boom")

    sandbox.on_delegate(fails)
    response = post(sandbox)
    assert response.status_code == 500
    assert "RuntimeError" in response.json()["data"]
    assert "boom" not in response.text
    assert sandbox.step(STEP).status is Status.STARTED
    assert sandbox.step(NEXT).status is Status.PENDING
    sandbox.on_delegate(None)
    assert post(sandbox).status_code == 200


def test_a_python_delegate_may_complete_its_step_from_inside(sandbox: stepstub.InProcess) -> None:
    sandbox.on_delegate(lambda start: post(sandbox, start.process_step_id).raise_for_status())
    assert post(sandbox).status_code == 200
    assert sandbox.step(NEXT).status is Status.COMPLETED
    assert [exchange.status for exchange in sandbox.journal()] == [200, 200]


def test_an_http_delegate_at_an_intercepted_address(stepstub: stepstub.InProcess) -> None:
    stepstub.responses.add(responses.POST, DELEGATE, status=202)
    stepstub.start_process([{}, {"delegate": {"http": DELEGATE}}, {}])
    assert post(stepstub, "process-1-1").status_code == 200
    (call,) = (call for call in stepstub.responses.calls if call.request.url == DELEGATE)
    assert json.loads(call.request.body)["processStepId"] == "process-1-2"


def test_an_http_delegate_that_reports_back_from_inside(stepstub: stepstub.InProcess) -> None:
    def application(request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        assert request.body
        post(stepstub, json.loads(request.body)["processStepId"]).raise_for_status()
        return 200, {}, ""

    stepstub.responses.add_callback(responses.POST, DELEGATE, application)
    step = {"delegate": {"http": DELEGATE}}
    stepstub.start_process([{}, step, step])
    assert post(stepstub, "process-1-1").status_code == 200
    statuses = [step.status for step in stepstub.process("process-1").steps]
    assert statuses == [Status.COMPLETED] * 3


def test_threads_within_a_test(stepstub: stepstub.InProcess) -> None:
    for number in range(16):
        stepstub.start_process([{}, {}, {}], id=f"p{number}")

    def work(number: int) -> list[int]:
        return [post(stepstub, f"p{number}-{step}").status_code for step in (1, 2, 2, 3)]

    with ThreadPoolExecutor(16) as threads:
        outcomes = list(threads.map(work, range(16)))
    assert outcomes == [[200, 200, 412, 200]] * 16
    numbers = [exchange.number for exchange in stepstub.journal()]
    assert numbers == list(range(1, 65))


def test_inside_a_running_event_loop(sandbox: stepstub.InProcess) -> None:
    async def client() -> int:
        return post(sandbox).status_code

    assert asyncio.run(client()) == 200
