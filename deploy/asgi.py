"""The ASGI applications that a process can serve: write, read, or both on one address.

Only processes that serve the write API import this module; without it, a read process is a third smaller.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp, Receive, Scope, Send

from api.read.app import ReadService
from api.read.fast_server import READ_SERVICE
from deploy.app_kind import AppKind
from deploy.log_listener import LogListener
from shared.change_listener import ReaderListener
from shared.http.cors import CorsMiddleware
from shared.http.observation import ObservationMiddleware
from shared.http.operations import Collector, serving_operations
from shared.http.readiness import Probes
from shared.http.request_id import RequestIdMiddleware
from shared.messages import Change, Dropped
from shared.settings import Settings
from shared.storage.opening import open_storage
from shared.tracing import stop_tracing

if TYPE_CHECKING:
    from api.write.services import Services

State = dict[str, Any]
Opener = Callable[[State], AbstractAsyncContextManager[ASGIApp]]
"""Opens an application. It may put values that the server's protocol needs into the lifespan's state."""


class Application:
    """An ASGI application that is opened and closed with the server's lifespan."""

    def __init__(self, opener: Opener) -> None:
        self._opener = opener
        self._stack = AsyncExitStack()
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection, or the lifespan (which must come first)."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope["state"], receive, send)
        elif self._app is None:
            raise RuntimeError("the server did not run the application's lifespan")
        else:
            await self._app(scope, receive, send)

    async def _lifespan(self, state: State, receive: Receive, send: Send) -> None:
        await receive()
        self._app = await self._stack.enter_async_context(self._opener(state))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._stack.aclose()
        await send({"type": "lifespan.shutdown.complete"})


def build_write_app(settings: Settings) -> ASGIApp:
    """The write API alone. Raises SettingsError if the linter's program is missing."""
    from api.write.app import build_app, open_services
    from api.write.archive.external_linter import open_linter

    linter = open_linter(settings)

    @asynccontextmanager
    async def opener(state: State) -> AsyncIterator[ASGIApp]:
        async with open_services(settings, linter) as services:
            app = at_the_edge(build_app(services), settings)
            async with _operations(settings, AppKind.WRITE, services.dependencies, _pool_of(services)):
                yield app

    return Application(opener)


def build_read_app(settings: Settings) -> ASGIApp:
    """The read service alone."""

    @asynccontextmanager
    async def opener(state: State) -> AsyncIterator[ASGIApp]:
        async with _open_read(settings) as service:
            state[READ_SERVICE] = service
            app = at_the_edge(service, settings)
            async with _operations(settings, AppKind.READ, service.dependencies, service.collect):
                yield app

    return Application(opener)


def build_combined_app(settings: Settings) -> ASGIApp:
    """Both tiers on one address. The read service gets the requests that it handles, the write API the rest.

    Raises SettingsError if the linter's program is missing.
    """
    from api.write.app import build_app, open_services
    from api.write.archive.external_linter import open_linter

    linter = open_linter(settings)

    @asynccontextmanager
    async def opener(state: State) -> AsyncIterator[ASGIApp]:
        async with (
            open_services(settings, linter) as services,
            _open_read(settings, services.visibility.apply_here) as reads,
        ):
            state[READ_SERVICE] = reads
            writes = build_app(services)

            async def combined(scope: Scope, receive: Receive, send: Send) -> None:
                await (reads if reads.handles(scope) else writes)(scope, receive, send)

            app = at_the_edge(combined, settings)
            async with _operations(
                settings, AppKind.ALL, services.dependencies, _pool_of(services), reads.collect
            ):
                yield app

    return Application(opener)


def at_the_edge(app: ASGIApp, settings: Settings) -> ASGIApp:
    """Wrap an application in the middleware of every answer: CORS, then metrics, then the request id."""
    with_cors = CorsMiddleware(app, settings.cors_origins)
    return RequestIdMiddleware(ObservationMiddleware(with_cors, has_access_log=settings.access_log))


@asynccontextmanager
async def _operations(
    settings: Settings, kind: AppKind, probes: Probes, *collectors: Collector
) -> AsyncIterator[None]:
    """Serve the operators' address beside the application. Sends the last spans at the end."""
    try:
        async with serving_operations(settings.metrics_bind, kind, probes, collectors):
            yield
    finally:
        await asyncio.to_thread(stop_tracing)


def _pool_of(services: Services) -> Collector:
    from shared.pool_metrics import collect_pool_use

    return functools.partial(collect_pool_use, services.database)


@asynccontextmanager
async def _open_read(
    settings: Settings, on_answer: Callable[[Change, Dropped], bool] = lambda change, dropped: False
) -> AsyncIterator[ReadService]:
    """A read service that learns of changes from messages, and from the log while no messages arrive.

    A directory may be a mirror, which sends no messages. Reading its checkpoint costs next to nothing.
    on_answer: as for ReaderListener.
    """
    storage = await open_storage(settings)
    service = ReadService(storage, settings)
    messages = ReaderListener(settings, service.apply, service.suspect_all, on_answer)
    entries = LogListener(
        storage,
        service.apply,
        service.suspect_all,
        is_needed=lambda: settings.stores_files or not messages.is_hearing,
    )
    listening = [asyncio.create_task(listener.run()) for listener in (messages, entries)]
    try:
        yield service
    finally:
        for task in listening:
            task.cancel()
        await asyncio.gather(*listening, return_exceptions=True)
        await storage.close()
