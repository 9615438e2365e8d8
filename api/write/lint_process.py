"""One run of an outside linter: a process group of its own with limits, killed as a whole at the end.

It gets no secret: its environment is PATH, HOME and TMPDIR. Where the system allows, it has no network
and its own process numbers, so that not even a process that left the group outlives it.
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
# ulimit is setrlimit in every shell; blocks of 512 bytes, KiB, seconds of processor time. The shell stays:
# the first process of a set of process numbers ignores signals that kill others.
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
    """The run was cut off: it took too long, or said too much. The message says which."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one run. wall_s, processor_s: seconds. memory_bytes: of each process's address space."""

    wall_s: float
    processor_s: float
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Ran:
    """A run that came to its end. status: of the shell, 128 and more for a signal."""

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
    """All of a stream, if it is short. Raises TooMuch."""
    if stream is None:
        raise RuntimeError("the process has no output")
    body = bytearray()
    while chunk := await stream.read(CHUNK_BYTES):
        body += chunk
        if len(body) > OUTPUT_BYTES:
            raise TooMuch(f"wrote more than {OUTPUT_BYTES} bytes")
    return bytes(body)


async def _kill_group(process: Process) -> None:
    """End whatever is left of the run, also what outlived its first process.

    asyncio's wait() ends only when the pipes have. One that nobody reads on (too much was written), or
    that a process which left the group holds open, never would: the transport closes our ends.
    """
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process._transport.close()  # type: ignore[attr-defined]
    await process.wait()


@cache
def isolation() -> tuple[str, ...]:
    """How a command is cut off from the network here; nothing, and a warning, if it cannot be. Blocks."""
    for prefix in ISOLATIONS:
        if shutil.which(prefix[0]) is not None and _works(prefix):
            return prefix
    log.warning("lint_command_has_network", reason="unshare is not there, or not permitted")
    return ()


def _works(prefix: Sequence[str]) -> bool:
    probe = subprocess.run([*prefix, "true"], check=False, capture_output=True, timeout=PROBE_S)
    return probe.returncode == 0
