"""A child process that never outlives this one, and whose end can be awaited. Linux only."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from deploy.local.account import Account

PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


class ChildEnded(Exception):
    """The process ended while something was awaited from it."""


class ChildProcess:
    """A running program.

    A session of its own: Ctrl-C reaches only us, and we stop the parts in order. Start it from the main
    thread: the kernel sends the death signal when the thread that forked ends.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        death_signal: signal.Signals,
        account: Account | None = None,
        directory: Path | None = None,
        environment: Mapping[str, str] | None = None,
        output: IO[bytes] | None = None,
        listener: int | None = None,
    ) -> None:
        """Start the command. Raises OSError.

        death_signal: what it gets when we die. output: takes its stdout and stderr; None: ours do.
        listener: file descriptor to hand down.
        """
        self._popen = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=directory,
            env=environment,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            pass_fds=() if listener is None else (listener,),
            start_new_session=True,
            preexec_fn=_die_with_parent(death_signal),
        )
        self._loop = asyncio.get_running_loop()
        self._status: asyncio.Future[int] = self._loop.create_future()
        self._pidfd = os.pidfd_open(self._popen.pid)
        self._loop.add_reader(self._pidfd, self._reap)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._popen.pid

    @property
    def is_running(self) -> bool:
        """False once it has ended."""
        return not self._status.done()

    def _reap(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._status.set_result(self._popen.wait())

    async def ended(self) -> str:
        """Wait for the end; how it ended, for people: `exit status 2` or `SIGKILL`."""
        status = await asyncio.shield(self._status)
        return signal.Signals(-status).name if status < 0 else f"exit status {status}"

    async def outlasts(self, work: Coroutine[Any, Any, None]) -> None:
        """Await work that needs the running process. Raises ChildEnded if it ends first."""
        working, ending = asyncio.ensure_future(work), asyncio.ensure_future(self.ended())
        try:
            await asyncio.wait({working, ending}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise ChildEnded(ending.result())
            working.result()
        finally:
            working.cancel()
            ending.cancel()

    async def stop(self, *signals: signal.Signals, grace_s: float) -> None:
        """Send the signals, then SIGKILL, until it ends; each has grace_s seconds to work."""
        for number in (*signals, signal.SIGKILL):
            if not self.is_running:
                return
            self._popen.send_signal(number)
            await asyncio.wait({self._status}, timeout=grace_s)
        await self.ended()


def _die_with_parent(death_signal: signal.Signals) -> Callable[[], None]:
    """What the child does between fork and exec, after it became the account (that would undo it)."""
    parent = os.getpid()

    def tie() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != parent:  # the parent ended before the call: no signal will come
            os.kill(os.getpid(), signal.SIGKILL)

    return tie
