"""The operators' address of a process: /metrics, /healthz and /readyz, apart from what clients reach.

Every role has one when X07_REGISTRY_METRICS_BIND is set. It shares the event loop with the work on
purpose: a process whose loop is stuck does not answer here either.
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

from shared.http.readiness import Probes, readiness_of, ready_response
from shared.http.service import HEALTH_BODY
from shared.metrics import PROCESS, set_dependencies

STOP_S: Final = 1

Collector = Callable[[], Awaitable[None]]

log = structlog.get_logger()


@asynccontextmanager
async def serving_operations(
    bind: str | None, role: str, probes: Probes, collectors: Sequence[Collector] = ()
) -> AsyncIterator[None]:
    """Serve the operators while the body runs; nothing when bind is None. Raises OSError.

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
        set_dependencies(await readiness_of(probes))
        await asyncio.gather(*(collect() for collect in collectors))
        return Response(generate_latest(), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    async def health(request: Request) -> Response:
        return PlainTextResponse(HEALTH_BODY)

    async def ready(request: Request) -> Response:
        return ready_response(await readiness_of(probes))

    return Starlette(routes=[Route("/metrics", metrics), Route("/healthz", health), Route("/readyz", ready)])


def _listener(bind: str) -> socket.socket:
    host, _, port = bind.rpartition(":")
    family, _, _, _, address = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
    return socket.create_server(address[:2], family=family)


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
    """A server beside the process's own work, which alone decides what signals mean."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
