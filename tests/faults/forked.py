"""Commands of the registry as processes of their own, forked from one that has imported them already.

A start costs a tenth of what it costs from nothing, and the fault tests start a hundred. The process is
as real: it has its own memory, sockets and log, and dies alone.
"""

from __future__ import annotations

import asyncio
import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.deploy.processes import environment

PR_SET_PDEATHSIG = 1
IMPORTED = [
    "deploy.cli.app",
    "deploy.migrations.revision",
    "deploy.serve",
    "shared.storage.s3",
    "tests.faults.forked",
    "worker.settings",
]

_context = multiprocessing.get_context("forkserver")


class Forked:
    """A running command: `Forked(["serve", "read"], …)` is `x07-registry serve read`."""

    def __init__(self, arguments: Sequence[str], variables: Mapping[str, str], log: Path) -> None:
        """variables: its settings; its environment has no others. log: takes stdout and stderr."""
        _context.set_forkserver_preload(IMPORTED)
        self._process = _context.Process(target=_run, args=(list(arguments), dict(variables), log))
        self._process.start()
        self._loop = asyncio.get_running_loop()
        self._status: asyncio.Future[int] = self._loop.create_future()
        self._loop.add_reader(self._process.sentinel, self._reap)

    @property
    def is_running(self) -> bool:
        """False once it has ended."""
        return not self._status.done()

    def _reap(self) -> None:
        self._loop.remove_reader(self._process.sentinel)
        self._status.set_result(self._process.exitcode or 0)

    async def ended(self) -> str:
        """Wait for the end; how it ended: `exit status 2` or `SIGKILL`."""
        status = await asyncio.shield(self._status)
        return signal.Signals(-status).name if status < 0 else f"exit status {status}"

    async def stop(self) -> str:
        """Ask it to end, by SIGTERM, and wait; how it ended."""
        self._process.terminate()
        return await self.ended()

    async def kill(self) -> None:
        """End it without a warning."""
        if self.is_running:
            self._process.kill()
        await self.ended()


def _run(arguments: list[str], variables: dict[str, str], log: Path) -> None:
    """What the new process does."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # it must not outlive the tests
    os.setsid()
    os.environ.clear()
    os.environ.update(environment(**variables))
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    from deploy.cli.app import main

    sys.argv = ["x07-registry", *arguments]
    main()
