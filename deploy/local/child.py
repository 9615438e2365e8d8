"""A child process that never outlives this one. Its end can be awaited. Linux only."""

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
    """The process ended before the awaited work was done."""


class ChildProcess:
    """A running program.

    It has a session of its own, so that Ctrl-C reaches only this process, which stops the parts in order.
    Start it from the main thread, because the kernel sends the death signal when the thread that forked ends.
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

        death_signal: sent to the child when this process dies. output: receives stdout and stderr; None: this
        process's own.
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
        """False after the process has ended."""
        return not self._status.done()

    def _reap(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._status.set_result(self._popen.wait())

    async def ended(self) -> str:
        """Wait for the end. Returns how the process ended: `exit status 2` or `SIGKILL`."""
        status = await asyncio.shield(self._status)
        return signal.Signals(-status).name if status < 0 else f"exit status {status}"

    async def outlasts(self, work: Coroutine[Any, Any, None]) -> None:
        """Await work that needs the running process. Raises ChildEnded if the process ends first."""
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
    """A function for the child to call between fork and exec, but after setuid, which resets the signal."""
    parent = os.getpid()

    def tie() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != parent:  # the parent ended before the call, so no signal will come
            os.kill(os.getpid(), signal.SIGKILL)

    return tie
