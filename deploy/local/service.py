"""A service that the supervisor runs: a process that can be started, watched and stopped repeatedly."""

from __future__ import annotations

import asyncio
import signal
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, ClassVar, Self

import structlog

from deploy.errors import StartFailed
from deploy.local.child import ChildEnded, ChildProcess

START_DEADLINE_S = 60.0
POLL_S = 0.01
LOG_TAIL_LINES = 5

log = structlog.get_logger()


class Service(ABC):
    """One part of the registry, as one child process at a time.

    name: for messages. stop_signals: tried one after another, `grace_s` seconds each, before SIGKILL.
    log: file that receives its output; None: this process's own output.
    """

    name: ClassVar[str]
    stop_signals: ClassVar[tuple[signal.Signals, ...]] = (signal.SIGTERM,)
    grace_s: ClassVar[float]

    def __init__(self, log: Path | None = None) -> None:
        self._log = log
        self._child: ChildProcess | None = None

    @abstractmethod
    async def _spawn(self) -> ChildProcess:
        """Prepare what the process needs and start it. Raises StartFailed, OSError."""

    @abstractmethod
    async def _is_ready(self, child: ChildProcess) -> bool:
        """True once the process answers. An OSError also means that it is not ready yet."""

    @property
    def pid(self) -> int:
        """The id of the process that runs now or ran last."""
        return self._started.pid

    @property
    def _started(self) -> ChildProcess:
        if self._child is None:
            raise RuntimeError(f"{self.name} has not been started")
        return self._child

    async def start(self) -> None:
        """Start the process and wait until it answers. Raises StartFailed, and then nothing runs."""
        try:
            self._child = await self._spawn()
            async with asyncio.timeout(START_DEADLINE_S):
                await self._child.outlasts(self._until_ready(self._child))
        except ChildEnded as ended:
            raise StartFailed(f"{self.name} ended with {ended}{self._last_words()}") from None
        except TimeoutError:
            await self.stop()
            raise StartFailed(
                f"{self.name} does not answer after {START_DEADLINE_S:.0f} s{self._last_words()}"
            ) from None
        except OSError as error:
            raise StartFailed(f"{self.name} cannot be started: {error}") from error

    async def _until_ready(self, child: ChildProcess) -> None:
        while True:
            with suppress(OSError):  # no file or socket yet, or a connection that broke
                if await self._is_ready(child):
                    return
            await asyncio.sleep(POLL_S)

    @contextmanager
    def _output(self) -> Iterator[IO[bytes] | None]:
        """The file that the process writes to, opened at its end."""
        if self._log is None:
            yield None
        else:
            with self._log.open("ab") as file:
                yield file

    def _last_words(self) -> str:
        """The last lines of the log, to append to a message."""
        if self._log is None:
            return ""
        lines = self._log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        return "\n".join([f"; {self._log} ends with:", *lines])

    async def ended(self) -> str:
        """Wait for the end of the process. Returns how it ended."""
        return await self._started.ended()

    async def stop(self) -> None:
        """Stop the process if it runs."""
        if self._child is None or not self._child.is_running:
            return
        await self._child.stop(*self.stop_signals, grace_s=self.grace_s)
        if await self._child.ended() == signal.SIGKILL.name:
            log.warning("process_killed", process=self.name)

    async def __aenter__(self) -> Self:
        """Start the service, for use without a supervisor."""
        try:
            await self.start()
        except asyncio.CancelledError:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        await self.stop()
