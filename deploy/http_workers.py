"""`serve read --workers N`: N read processes on one address, each with a listener of its own.

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
from shared.settings import Settings
from shared.variables import PREFIX


class ReadWorker(Service):
    """One read process. It inherits this process's environment, and so its settings."""

    name = "read"
    grace_s = 7.0

    def __init__(self, reserve: Callable[[], socket.socket], metrics_bind: str | None) -> None:
        """reserve: makes the socket that the process will listen on."""
        super().__init__()
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
            [*COMMAND, "serve", AppKind.READ, f"--fd={descriptor}"],
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


async def run_workers(settings: Settings, count: int) -> None:
    """Keep count read processes running until cancelled. They finish their answers before they stop.

    Prints `listening ADDRESS` once all answer. A process that dies is restarted. Raises StartFailed.
    """
    with reserve_address(settings.bind) as reserved:
        address = address_of(reserved)
        reserve = reserved.dup if is_unix(reserved) else partial(reserve_address, address)
        async with keep_running(
            *(ReadWorker(reserve, nth_bind(settings.metrics_bind, number)) for number in range(count))
        ):
            print("listening", address, flush=True)
            await asyncio.Event().wait()
