"""The composition root: `create_app` puts a stub together, and does nothing else."""

from collections.abc import Sequence
from functools import cache

from starlette.types import ASGIApp, Receive, Scope, Send

from stepstub.concurrency import Concurrency, InlineConcurrency
from stepstub.exchange import Tracing, exchange_of
from stepstub.gate.stack import gate
from stepstub.model import Process
from stepstub.sandboxes import MemorySandboxes
from stepstub.settings import Settings
from stepstub.stub import Stub


def create_app(
    processes: Sequence[Process] = (),
    settings: Settings = Settings(),  # noqa: B008 - it is immutable
    *,
    concurrency: Concurrency | None = None,
    tracing: Tracing | None = None,
) -> Stub:
    """A stub whose default sandbox holds `processes`.

    `concurrency` says how it may wait: inline (the default) for a caller with a thread of its own,
    an `EventLoopConcurrency` under a server. Without `tracing`, exchanges are no spans.
    """
    concurrency = concurrency or InlineConcurrency()
    pages: dict[str, ASGIApp] = {"contract": _pages}
    if settings.with_control and concurrency.is_event_loop:
        pages["console"] = _Console()
    return Stub(
        MemorySandboxes(
            settings.token,
            processes,
            concurrency=concurrency,
            limits=settings.limits,
            readings=settings.readings,
            vary=settings.vary,
            tracing=tracing,
        ),
        settings=settings,
        concurrency=concurrency,
        gate=gate(with_control=settings.with_control),
        pages=pages,
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
