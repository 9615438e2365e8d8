"""Serves operators on an address of their own: /metrics, /healthz and /readyz.

Every role does so if X07_REGISTRY_METRICS_BIND is set. It uses the event loop of the process's work on
purpose, so that a process whose loop is stuck does not answer here either.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import structlog
import uvicorn
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from shared.host_port import resolve
from shared.http.readiness import Probes, ReadyResponse, readiness_of, ready_response
from shared.http.service import HEALTH_BODY
from shared.metrics import DEPENDENCY_SECONDS, DEPENDENCY_UP, PROCESS

STOP_S: Final = 1

Collector = Callable[[], Awaitable[None]]

log = structlog.get_logger()


@asynccontextmanager
async def serving_operations(
    bind: str | None, role: str, probes: Probes, collectors: Sequence[Collector] = ()
) -> AsyncIterator[None]:
    """Serve operators while the body runs. Does nothing when bind is None. Raises OSError.

    bind: HOST:PORT. collectors: called before metrics are written, to bring gauges up to date.
    """
    PROCESS.info({"role": role})
    if bind is None:
        yield
        return
    with _listener(bind) as listener:
        server = _Server(_config(_application(probes, collectors)))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        host, port = listener.getsockname()[:2]
        log.info("operations_listening", role=role, host=host, port=port)
        try:
            yield
        finally:
            server.should_exit = True
            await serving


def _application(probes: Probes, collectors: Sequence[Collector]) -> Starlette:
    async def metrics(request: Request) -> Response:
        _set_dependencies(await readiness_of(probes))
        await asyncio.gather(*(collect() for collect in collectors))
        return Response(generate_latest(), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    async def health(request: Request) -> Response:
        return PlainTextResponse(HEALTH_BODY)

    async def ready(request: Request) -> Response:
        return ready_response(await readiness_of(probes))

    return Starlette(routes=[Route("/metrics", metrics), Route("/healthz", health), Route("/readyz", ready)])


def _listener(bind: str) -> socket.socket:
    family, address = resolve(bind)
    return socket.create_server(address, family=family)


def _config(app: Starlette) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=STOP_S,
    )


class _Server(uvicorn.Server):
    """A uvicorn server that leaves signals to the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _set_dependencies(readiness: ReadyResponse) -> None:
    """Set the gauges of dependencies to what readiness found."""
    for name, dependency in readiness.dependencies.items():
        DEPENDENCY_UP.labels(name).set(dependency.ok)
        DEPENDENCY_SECONDS.labels(name).set(dependency.latency_ms / 1000)
