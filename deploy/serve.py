"""One HTTP process: an ASGI application under uvicorn."""

from __future__ import annotations

import asyncio
import resource
import socket
from contextlib import suppress

import uvicorn

from deploy.app_kind import AppKind
from deploy.asgi import build_combined_app, build_read_app, build_write_app
from deploy.errors import StartFailed
from deploy.listener import address_of, open_listener
from deploy.migrations.revision import until_migrated
from shared.settings import Settings

# Longer than a publish waits to be visible, unless told otherwise; short of the 10 s that `up` has.
GRACE_S = 6
# Longer than an edge keeps idle connections (nginx: 60 s), so that it never meets one that just closed.
KEEP_ALIVE_S = 75
# Idle connections count too. Beyond, uvicorn answers 503 by itself.
MAX_CONNECTIONS = 10_000
OTHER_DESCRIPTORS = 256

BUILDERS = {
    AppKind.WRITE: build_write_app,
    AppKind.READ: build_read_app,
    AppKind.ALL: build_combined_app,
}


def run(kind: AppKind, settings: Settings) -> None:
    """Listen on the address of the settings and serve until SIGINT or SIGTERM. Raises StartFailed.

    Waits, bounded, until the database is migrated if the kind needs it. Prints `listening HOST:PORT` once
    it answers.
    """
    if kind is not AppKind.READ:
        asyncio.run(until_migrated(settings))
    with open_listener(settings.bind) as listener:
        _serve(_AnnouncingServer(_configure(kind, settings)), listener)


def run_on(kind: AppKind, settings: Settings, listener: socket.socket) -> None:
    """Serve on a socket of the parent process, which knows its address. Raises StartFailed."""
    _serve(uvicorn.Server(_configure(kind, settings)), listener)


class _AnnouncingServer(uvicorn.Server):
    """Says where it listens: with port 0 nobody else knows."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            for listener in sockets or ():
                print("listening", address_of(listener), flush=True)


def _configure(kind: AppKind, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        BUILDERS[kind](settings),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_connection_limit(),
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
    )


def _connection_limit() -> int:
    """Connections that this process can hold; its limit of open files is raised as far as it may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + OTHER_DESCRIPTORS
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return max(allowed - OTHER_DESCRIPTORS, 1)


def _serve(server: uvicorn.Server, listener: socket.socket) -> None:
    with suppress(KeyboardInterrupt):  # uvicorn raises it again after a clean stop
        server.run(sockets=[listener])
    if not server.started:
        raise StartFailed("the application did not start; its log says why")
