"""Commands of the registry as real processes, forked from one that has already imported the program.

A fork costs a tenth of a fresh start, and the tests start hundreds of processes. Each process is real: it has
its own memory, sockets and output, and ends on its own.
"""

from __future__ import annotations

import asyncio
import ctypes
import faulthandler
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
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
    "worker.process",
]

_context = multiprocessing.get_context("forkserver")
# A start looks for other processes that ended, and each exit status can be read only once.
_statuses = threading.Lock()


@dataclass(frozen=True)
class Answer:
    """The result of a command."""

    returncode: int
    stdout: str
    stderr: str


def run(*arguments: str, prepare: Callable[[], None] | None = None, **variables: str) -> Answer:
    """Run `x07-registry ARGUMENTS` to its end, with nothing on stdin.

    variables: its only settings. prepare: called in the new process.
    """
    with tempfile.TemporaryDirectory(prefix="x07-command-") as directory:
        stdout, stderr = Path(directory) / "stdout", Path(directory) / "stderr"
        process = _start(arguments, variables, stdout, stderr, prepare)
        wait([process.sentinel])
        return Answer(_status(process), stdout.read_text(), stderr.read_text())


class Forked:
    """A running command: `Forked(["serve", "read"], …)` is `x07-registry serve read`."""

    def __init__(
        self,
        arguments: Sequence[str],
        variables: Mapping[str, str],
        log: Path,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        """variables: its only settings. log: for stdout and stderr. prepare: called in the process."""
        self._process = _start(arguments, variables, log, log, prepare)
        self._loop = asyncio.get_running_loop()
        self._ending: asyncio.Future[int] = self._loop.create_future()
        self._loop.add_reader(self._process.sentinel, self._reap)

    @property
    def is_running(self) -> bool:
        """False after it has ended."""
        return not self._ending.done()

    def _reap(self) -> None:
        self._loop.remove_reader(self._process.sentinel)
        self._ending.set_result(_status(self._process))

    async def until_paused(self) -> None:
        """Wait until the process has stopped itself (SIGSTOP)."""
        while self.is_running and _state_of(self._process.pid) != "T":
            await asyncio.sleep(0.01)
        assert self.is_running, "it ended instead of pausing"

    def pause(self) -> None:
        """Stop the process where it is (SIGSTOP)."""
        os.kill(self._process.pid or 0, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a stopped process continue."""
        os.kill(self._process.pid or 0, signal.SIGCONT)

    def tell_where(self) -> None:
        """Have the process write into its log where each of its threads is, once it runs."""
        if self.is_running:
            os.kill(self._process.pid or 0, signal.SIGUSR1)

    async def ended(self) -> str:
        """Wait for the end. Returns how it ended: `exit status 2` or `SIGKILL`."""
        status = await asyncio.shield(self._ending)
        return signal.Signals(-status).name if status < 0 else f"exit status {status}"

    async def stop(self) -> str:
        """End it with SIGTERM and wait. Returns how it ended."""
        self._process.terminate()
        return await self.ended()

    async def kill(self) -> None:
        """End it with SIGKILL."""
        if self.is_running:
            self._process.kill()
        await self.ended()


def _start(
    arguments: Sequence[str],
    variables: Mapping[str, str],
    stdout: Path,
    stderr: Path,
    prepare: Callable[[], None] | None = None,
) -> BaseProcess:
    """Start a command."""
    _context.set_forkserver_preload(IMPORTED)
    process = _context.Process(
        target=_run, args=(list(arguments), environment(**variables), stdout, stderr, prepare)
    )
    with _statuses:
        process.start()
    return process


def _state_of(pid: int | None) -> str:
    """One letter of proc(5): `T` is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def _status(process: BaseProcess) -> int:
    """The exit status of a process that has ended; minus the signal's number if a signal ended it."""
    with _statuses:
        status = process.exitcode
    assert status is not None
    return status


def _run(
    arguments: Sequence[str],
    variables: Mapping[str, str],
    stdout: Path,
    stderr: Path,
    prepare: Callable[[], None] | None,
) -> None:
    """The work of the new process."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # it must not outlive the tests
    os.setsid()
    os.environ.clear()
    os.environ.update(variables)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for path, descriptor in ((stdout, 1), (stderr, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), descriptor)
    faulthandler.register(signal.SIGUSR1, file=2)
    if prepare is not None:
        prepare()
    from deploy.cli.app import main

    sys.argv = ["x07-registry", *arguments]
    main()
