"""The composition root: `create_app` puts a stub together, and does nothing else."""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Receive, Scope, Send

from stepstub.concurrency import Concurrency, InlineConcurrency
from stepstub.exchange import Tracing, exchange_of
from stepstub.gate.stack import gate
from stepstub.model import Process
from stepstub.sandboxes import MemorySandboxes, Sandboxes
from stepstub.settings import Settings
from stepstub.stub import Stub

if TYPE_CHECKING:
    from stepstub.stores.valkey.address import Address


def create_app(
    processes: Sequence[Process] = (),
    settings: Settings = Settings(),  # noqa: B008 - it is immutable
    *,
    concurrency: Concurrency | None = None,
    tracing: Tracing | None = None,
    state: "Address | None" = None,
) -> Stub:
    """A stub whose default sandbox holds `processes`.

    `concurrency` says how it may wait: inline (the default) for a caller with a thread of its own,
    an `EventLoopConcurrency` under a server. Without `tracing`, exchanges are no spans.
    `state` is where the state is kept that several processes share; it takes the extra `valkey`.
    """
    concurrency = concurrency or InlineConcurrency()
    pages: dict[str, ASGIApp] = {"contract": _pages}
    if settings.with_control and concurrency.is_event_loop:
        pages["console"] = _Console()
    return Stub(
        _sandboxes(processes, settings, concurrency, tracing, state),
        settings=settings,
        concurrency=concurrency,
        gate=gate(with_control=settings.with_control),
        pages=pages,
        tracing=tracing,
    )


def _sandboxes(
    processes: Sequence[Process],
    settings: Settings,
    concurrency: Concurrency,
    tracing: Tracing | None,
    state: "Address | None",
) -> Sandboxes:
    if state is not None:
        from stepstub.shared_sandboxes import SharedSandboxes
        from stepstub.stores.valkey.link import Multiplexed
        from stepstub.stores.valkey.notices import Notices

        return SharedSandboxes(
            processes,
            settings=settings,
            link=Multiplexed(state.connection, state.shown),
            notices=Notices(state.client),
            concurrency=concurrency,
            tracing=tracing,
        )
    return MemorySandboxes(
        settings.token,
        processes,
        concurrency=concurrency,
        limits=settings.limits,
        readings=settings.readings,
        vary=settings.vary,
        tracing=tracing,
    )


async def _pages(scope: Scope, receive: Receive, send: Send) -> None:
    await _built_pages()(scope, receive, send)


@cache
def _built_pages() -> ASGIApp:
    # Built when one is first asked for: most stubs never are.
    from stepstub.pages import pages

    return pages()


class _Console:
    """The console of one stub; likewise built when a page of it is first asked for."""

    def __init__(self) -> None:
        self._mounted: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._mounted is None:
            from stepstub.console.mount import Mount

            self._mounted = Mount(exchange_of(scope).stub)
        await self._mounted(scope, receive, send)
