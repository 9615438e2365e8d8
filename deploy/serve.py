"""One HTTP process: an ASGI application under uvicorn."""

from __future__ import annotations

import asyncio
import ctypes
import resource
import socket
from contextlib import suppress

import uvicorn

from api.read.fast_path import FastProtocol
from deploy.app_kind import AppKind
from deploy.asgi import build_combined_app, build_read_app, build_write_app
from deploy.errors import StartFailed
from deploy.garbage import collect_less_garbage
from deploy.listener import address_of, open_listener
from deploy.tree import require_one_tree
from shared.http.connections import MAX_CONNECTIONS, OTHER_DESCRIPTORS
from shared.http.guarded_protocol import GuardedProtocol
from shared.settings import Settings

# Longer than a publish waits to be visible by default, and less than the 10 s that `up` allows. An upload may
# be slow, so our deployments allow a write server on its own half a minute to stop.
GRACE_S = {AppKind.WRITE: 20, AppKind.READ: 6, AppKind.ALL: 6}
# Longer than an edge keeps idle connections (nginx: 60 s), so that it never reuses one that just closed.
KEEP_ALIVE_S = 75
# Requests in the application; others are answered 503 at once. The fast path does not count.
REQUESTS_AT_ONCE = 1024

M_ARENA_MAX = -8
# Number of allocations beyond deallocations that starts a collection; Python's default is 700.

BUILDERS = {
    AppKind.WRITE: build_write_app,
    AppKind.READ: build_read_app,
    AppKind.ALL: build_combined_app,
}
PROTOCOLS = {
    AppKind.WRITE: GuardedProtocol,
    AppKind.READ: FastProtocol,
    AppKind.ALL: FastProtocol,
}


def run(kind: AppKind, settings: Settings) -> None:
    """Listen on the address of the settings and serve until SIGINT or SIGTERM. Raises StartFailed.

    If the kind needs the database, waits a limited time until it is migrated. Prints `listening ADDRESS`
    once it answers.
    """
    if kind is not AppKind.READ:
        from deploy.migrations.revision import until_migrated  # a read process needs no database

        asyncio.run(until_migrated(settings))
    require_one_tree(settings, is_written=kind is not AppKind.READ)
    with open_listener(settings.bind) as listener:
        _serve(_AnnouncingServer(kind, settings), listener)


def run_on(kind: AppKind, settings: Settings, listener: socket.socket) -> None:
    """Serve on a socket that the parent process opened. Raises StartFailed."""
    _serve(_Server(kind, settings), listener)


class _Server(uvicorn.Server):
    """uvicorn for one kind of application."""

    def __init__(self, kind: AppKind, settings: Settings) -> None:
        super().__init__(_configure(kind, settings))

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        collect_less_garbage()


class _AnnouncingServer(_Server):
    """Prints the address on which it listens, which only the server knows if the port is 0."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            for listener in sockets or ():
                print("listening", address_of(listener), flush=True)


def _share_one_arena() -> None:
    """Make all threads share one malloc arena; glibc's arenas per thread cost a read process 25 MiB."""
    if (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        mallopt(M_ARENA_MAX, 1)


def _configure(kind: AppKind, settings: Settings) -> uvicorn.Config:
    _raise_descriptor_limit()
    if kind is AppKind.READ:
        _share_one_arena()
    return uvicorn.Config(
        BUILDERS[kind](settings),
        loop="uvloop",
        http=PROTOCOLS[kind],
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=REQUESTS_AT_ONCE,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S[kind],
    )


def _raise_descriptor_limit() -> None:
    """Raise the limit of descriptors for MAX_CONNECTIONS, as far as the hard limit allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + OTHER_DESCRIPTORS
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def _serve(server: uvicorn.Server, listener: socket.socket) -> None:
    with suppress(KeyboardInterrupt):  # uvicorn raises it again after a clean stop
        server.run(sockets=[listener])
    if not server.started:
        raise StartFailed("the application did not start; its log says why")
