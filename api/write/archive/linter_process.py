"""Runs an external linter in a process group with limits. The whole group is killed at the end.

The run gets no secrets: its environment is PATH, HOME and TMPDIR. If the system permits, it has no network
and a process id namespace of its own, so that even a process that left the group ends with the run.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import structlog

from shared.errors import StorageUnavailable

OUTPUT_BYTES: Final = 1 << 20
FILE_BYTES: Final = 64 << 20
CHUNK_BYTES: Final = 1 << 16
PROBE_S: Final = 10
OUT_OF_TIME: Final = (128 + signal.SIGXCPU, -signal.SIGXCPU)
# ulimit is setrlimit in every shell; its units are blocks of 512 bytes, KiB and seconds of processor time.
# The shell stays as the parent, because the first process of a process id namespace ignores most signals.
LIMITED: Final = (
    'ulimit -c 0 && ulimit -f "$1" && ulimit -v "$2" && ulimit -S -t "$3" && shift 3 || exit 125; '
    '"$@"; exit "$?"'
)
ISOLATIONS: Final = (
    ("unshare", "--net", "--pid", "--fork", "--kill-child"),
    ("unshare", "--user", "--map-root-user", "--net", "--pid", "--fork", "--kill-child"),
    ("unshare", "--user", "--map-root-user", "--net"),
)

log = structlog.get_logger()


class TooMuch(Exception):
    """The run exceeded a limit of time or output. The message says which."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one run. wall_s, processor_s: seconds. memory_bytes: of each process's address space."""

    wall_s: float
    processor_s: float
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Ran:
    """A run that ended by itself. status: of the shell; 128 or more for a signal."""

    status: int
    stdout: bytes
    stderr: bytes


async def run_limited(command: Sequence[str], directory: Path, limits: Limits) -> Ran:
    """Run a command in a directory. Raises TooMuch, and StorageUnavailable if no process can be had."""
    blocks, kib, seconds = FILE_BYTES // 512, limits.memory_bytes // 1024, max(1, round(limits.processor_s))
    limited = ("sh", "-c", LIMITED, "lint", f"{blocks}", f"{kib}", f"{seconds}")
    try:
        process = await asyncio.create_subprocess_exec(
            *isolation(),
            *limited,
            *command,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            cwd=directory,
            env={
                "PATH": os.environ.get("PATH", os.defpath),
                **dict.fromkeys(("HOME", "TMPDIR"), f"{directory}"),
            },
            start_new_session=True,
        )
    except OSError as error:
        raise StorageUnavailable from error
    try:
        async with asyncio.timeout(limits.wall_s):
            stdout, stderr = await asyncio.gather(_read(process.stdout), _read(process.stderr))
            ran = Ran(await process.wait(), stdout, stderr)
    except TimeoutError:
        raise TooMuch("did not finish in time") from None
    finally:
        await _kill_group(process)
    if ran.status in OUT_OF_TIME:
        raise TooMuch(f"used more than {seconds} s of processor time")
    return ran


async def _read(stream: asyncio.StreamReader | None) -> bytes:
    """The whole stream. Raises TooMuch if it is longer than allowed."""
    if stream is None:
        raise RuntimeError("the process has no output")
    body = bytearray()
    while chunk := await stream.read(CHUNK_BYTES):
        body += chunk
        if len(body) > OUTPUT_BYTES:
            raise TooMuch(f"wrote more than {OUTPUT_BYTES} bytes")
    return bytes(body)


async def _kill_group(process: Process) -> None:
    """Kill every process of the run that still exists.

    asyncio's wait() returns only when the pipes are closed. A pipe that is no longer read, or that a process
    outside the group holds open, would never close, so the transport closes this side.
    """
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process._transport.close()  # type: ignore[attr-defined]
    await process.wait()


@cache
def isolation() -> tuple[str, ...]:
    """A command prefix that cuts a command off from the network; empty where that is impossible. Blocks."""
    for prefix in ISOLATIONS:
        if shutil.which(prefix[0]) is not None and _works(prefix):
            return prefix
    log.warning("lint_command_has_network", reason="unshare is missing, or not permitted")
    return ()


def _works(prefix: Sequence[str]) -> bool:
    probe = subprocess.run([*prefix, "true"], check=False, capture_output=True, timeout=PROBE_S)
    return probe.returncode == 0
