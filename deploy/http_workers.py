"""`serve --workers N`: N processes of one kind on one address, each with a listener of its own.

The kernel spreads connections over the listeners (SO_REUSEPORT). A process listens only once it can answer,
and its listener ends with it, so no connection waits for a process that is starting or has died. Process n,
counted from 0, serves operators n ports above X07_REGISTRY_METRICS_BIND.

A Unix socket cannot be shared in this way. All processes accept from one listener, which the first that can
answer opens.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from functools import partial

from deploy.app_kind import AppKind
from deploy.listener import address_of, is_unix, nth_bind, reserve_address
from deploy.local.child import ChildProcess
from deploy.local.own_services import COMMAND
from deploy.local.service import Service
from deploy.local.supervisor import keep_running
from deploy.tree import require_one_tree
from shared.settings import Settings
from shared.variables import PREFIX


class HttpWorker(Service):
    """One HTTP process. It inherits this process's environment, and so its settings."""

    name = "http"
    grace_s = 21.0  # longer than any kind gives its last answers (deploy/serve.py)

    def __init__(self, kind: AppKind, reserve: Callable[[], socket.socket], metrics_bind: str | None) -> None:
        """reserve: makes the socket that the process will listen on."""
        super().__init__()
        self._kind = kind
        self._reserve = reserve
        self._metrics_bind = metrics_bind
        self._listener: socket.socket | None = None

    async def start(self) -> None:
        """Start like any service. Afterwards only the child holds the listener."""
        with self._reserve() as self._listener:
            await super().start()

    async def _spawn(self) -> ChildProcess:
        descriptor = self._reserved.fileno()
        return ChildProcess(
            [*COMMAND, "serve", self._kind, f"--fd={descriptor}"],
            death_signal=signal.SIGTERM,
            environment={**os.environ, f"{PREFIX}METRICS_BIND": self._metrics_bind or ""},
            listener=descriptor,
        )

    async def _is_ready(self, child: ChildProcess) -> bool:
        """True once the process listens."""
        return self._reserved.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1

    @property
    def _reserved(self) -> socket.socket:
        if self._listener is None:
            raise RuntimeError("the worker has no listener yet")
        return self._listener


async def run_workers(kind: AppKind, settings: Settings, count: int) -> None:
    """Keep count processes running until cancelled. They finish their answers before they stop.

    If they need the database, waits a limited time until it is migrated. Prints `listening ADDRESS` once all
    answer. A process that dies is restarted. Raises StartFailed.
    """
    if kind is not AppKind.READ:
        from deploy.migrations.revision import until_migrated  # a read process needs no database

        await until_migrated(settings)
    require_one_tree(settings, is_written=kind is not AppKind.READ)
    with reserve_address(settings.bind) as reserved:
        address = address_of(reserved)
        reserve = reserved.dup if is_unix(reserved) else partial(reserve_address, address)
        async with keep_running(
            *(HttpWorker(kind, reserve, nth_bind(settings.metrics_bind, number)) for number in range(count))
        ):
            print("listening", address, flush=True)
            await asyncio.Event().wait()
