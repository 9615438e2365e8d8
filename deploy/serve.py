"""One HTTP process: an ASGI application under uvicorn."""

from __future__ import annotations

import socket
from contextlib import suppress

import uvicorn

from deploy.app_kind import AppKind
from deploy.asgi import build_combined_app, build_read_app, build_write_app
from deploy.errors import StartFailed
from deploy.listener import address_of, open_listener
from shared.settings import Settings

# Longer than a publish waits to be visible, unless told otherwise; short of the 10 s that `up` has.
GRACE_S = 6
# Beyond this many requests at once a process answers 503: queues in memory help nobody.
MAX_CONCURRENT_REQUESTS = 1000
KEEP_ALIVE_S = 75

BUILDERS = {
    AppKind.WRITE: build_write_app,
    AppKind.READ: build_read_app,
    AppKind.ALL: build_combined_app,
}


def run(kind: AppKind, settings: Settings) -> None:
    """Listen on the address of the settings and serve until SIGINT or SIGTERM. Raises StartFailed.

    Prints `listening HOST:PORT` once it answers.
    """
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
        limit_concurrency=MAX_CONCURRENT_REQUESTS,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
    )


def _serve(server: uvicorn.Server, listener: socket.socket) -> None:
    with suppress(KeyboardInterrupt):  # uvicorn raises it again after a clean stop
        server.run(sockets=[listener])
    if not server.started:
        raise StartFailed("the application did not start; its log says why")
