"""Checks archives in a bounded pool of processes, off the event loop and isolated from each other.

A publisher has one check at a time. Other publishers therefore find a free process, however many hostile
archives one publisher sends. check.py has the checks; check_process.py runs in each process.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from uuid import UUID

import structlog

from api.write.archive.check import CheckedArchive
from api.write.archive.check_process import LENGTH_BYTES, Task, frame, parse_outcome
from api.write.archive.external_linter import Linter
from shared.errors import Internal, Unavailable
from shared.publish_errors import BadArchive
from shared.settings import Settings

# Seconds of wall clock per second of processor time. A check takes longer on a busy machine, but must end.
WALL_FACTOR: Final = 6
START_S: Final = 30.0

log = structlog.get_logger()


class Checks:
    """The pool of a write process. A process starts when it is first needed and is then reused."""

    def __init__(self, settings: Settings, linter: Linter | None = None) -> None:
        self._linter = linter
        self._limit_s = settings.check_seconds
        self._hosts = settings.scale_evidence_allowed_hosts
        self._buckets = settings.scale_evidence_allowed_s3_buckets
        self._free = asyncio.Semaphore(settings.check_processes)
        self._idle: list[Process] = []
        self._turns: dict[UUID, asyncio.Lock] = {}
        self._waiting: Counter[UUID] = Counter()

    async def check(self, publisher: UUID, path: Path) -> CheckedArchive:
        """Check an uploaded archive. Raises the refusals of check_archive and of the linter.

        Raises BadArchive when the check exceeds its time limit, and Unavailable when this machine is too
        busy.
        """
        task = Task(str(path), self._limit_s, tuple(self._hosts), tuple(self._buckets))
        async with self._turn(publisher):
            async with self._free:
                archive = parse_outcome(await self._ask(task))
            if self._linter is not None:
                await self._linter.lint(archive, path)
        return archive

    @asynccontextmanager
    async def _turn(self, publisher: UUID) -> AsyncIterator[None]:
        """Wait until the publisher has no other check running, in the order of arrival."""
        self._waiting[publisher] += 1
        try:
            async with self._turns.setdefault(publisher, asyncio.Lock()):
                yield
        finally:
            self._waiting[publisher] -= 1
            if not self._waiting[publisher]:
                del self._waiting[publisher], self._turns[publisher]

    async def _ask(self, task: Task) -> bytes:
        """Have a process do the task and return its answer. The process is reused only if it answered."""
        process = await self._process()
        try:
            async with asyncio.timeout(WALL_FACTOR * task.limit_s):
                answer = await _exchange(process, frame(task))
        except (asyncio.IncompleteReadError, ConnectionError):
            raise _ending(await process.wait()) from None
        except TimeoutError:
            await _stop(process)
            log.warning("check_unfinished", limit_s=WALL_FACTOR * task.limit_s)
            raise Unavailable from None
        except BaseException:
            await _stop(process)
            raise
        self._idle.append(process)
        return answer

    async def _process(self) -> Process:
        """An idle process that is alive, or a new one."""
        while self._idle:
            process = self._idle.pop()
            if process.returncode is None:
                return process
        return await _start()

    async def close(self) -> None:
        """End the processes. No check may start after this call."""
        while self._idle:
            await _stop(self._idle.pop())


async def _start() -> Process:
    """Start a process and wait until it is ready. Raises Unavailable if it does not start.

    It has a session of its own, and an environment with nothing but this process's import path.
    """
    command = (sys.executable, "-m", "api.write.archive.check_process")
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE, env=environment, start_new_session=True
    )
    try:
        async with asyncio.timeout(START_S):
            await _receive(process)
    except BaseException as error:
        await _stop(process)
        if not isinstance(error, (asyncio.IncompleteReadError, TimeoutError)):
            raise
        log.error("check_process_not_started", status=process.returncode)
        raise Unavailable from None
    return process


async def _exchange(process: Process, message: bytes) -> bytes:
    """Send a message, receive one. Raises IncompleteReadError or ConnectionError if the process ended."""
    if process.stdin is None:
        raise RuntimeError("the process has no input")
    process.stdin.write(message)
    await process.stdin.drain()
    return await _receive(process)


async def _receive(process: Process) -> bytes:
    if process.stdout is None:
        raise RuntimeError("the process has no output")
    length = int.from_bytes(await process.stdout.readexactly(LENGTH_BYTES))
    return await process.stdout.readexactly(length)


def _ending(status: int) -> BadArchive | Internal:
    """The error for a process that ended in the middle of a check."""
    if status == -signal.SIGPROF:
        return BadArchive("the archive takes too long to check")
    log.error("check_process_ended", status=status)
    return Internal()


async def _stop(process: Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()
