"""Commands of the registry as real processes, cheaply: forked from one that has imported the program already.

A start costs a tenth of what it costs from nothing, and the tests start hundreds. The process is as real:
it has its own memory, sockets and output, and dies alone.
"""

from __future__ import annotations

import asyncio
import ctypes
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from tests.deploy.processes import environment

PR_SET_PDEATHSIG = 1
IMPORTED = [
    "deploy.administration.acting",
    "deploy.administration.packages",
    "deploy.cli.app",
    "deploy.migrations.revision",
    "deploy.migrations.runner",
    "deploy.serve",
    "shared.storage.s3",
    "tests.deploy.forked_commands",
    "worker.settings",
]

_context = multiprocessing.get_context("forkserver")
# A start looks for other processes that ended, and each exit status can be asked for once only.
_statuses = threading.Lock()


@dataclass(frozen=True)
class Answer:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def run(*arguments: str, **variables: str) -> Answer:
    """Run `x07-registry ARGUMENTS` to its end, with nothing on stdin. variables: its only settings."""
    with tempfile.TemporaryDirectory(prefix="x07-command-") as directory:
        stdout, stderr = Path(directory) / "stdout", Path(directory) / "stderr"
        process = _start(arguments, variables, stdout, stderr)
        wait([process.sentinel])
        return Answer(_status(process), stdout.read_text(), stderr.read_text())


class Forked:
    """A running command: `Forked(["serve", "read"], …)` is `x07-registry serve read`."""

    def __init__(self, arguments: Sequence[str], variables: Mapping[str, str], log: Path) -> None:
        """variables: its only settings. log: takes stdout and stderr."""
        self._process = _start(arguments, variables, log, log)
        self._loop = asyncio.get_running_loop()
        self._ending: asyncio.Future[int] = self._loop.create_future()
        self._loop.add_reader(self._process.sentinel, self._reap)

    @property
    def is_running(self) -> bool:
        """False once it has ended."""
        return not self._ending.done()

    def _reap(self) -> None:
        self._loop.remove_reader(self._process.sentinel)
        self._ending.set_result(_status(self._process))

    async def ended(self) -> str:
        """Wait for the end; how it ended: `exit status 2` or `SIGKILL`."""
        status = await asyncio.shield(self._ending)
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


def _start(arguments: Sequence[str], variables: Mapping[str, str], stdout: Path, stderr: Path) -> BaseProcess:
    """Start a command."""
    _context.set_forkserver_preload(IMPORTED)
    process = _context.Process(target=_run, args=(list(arguments), environment(**variables), stdout, stderr))
    with _statuses:
        process.start()
    return process


def _status(process: BaseProcess) -> int:
    """The exit status of a process that has ended; minus the signal's number if one ended it."""
    with _statuses:
        status = process.exitcode
    assert status is not None
    return status


def _run(arguments: Sequence[str], variables: Mapping[str, str], stdout: Path, stderr: Path) -> None:
    """What the new process does."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # it must not outlive the tests
    os.setsid()
    os.environ.clear()
    os.environ.update(variables)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for path, descriptor in ((stdout, 1), (stderr, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), descriptor)
    from deploy.cli.app import main

    sys.argv = ["x07-registry", *arguments]
    main()
