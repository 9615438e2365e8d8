"""Counts how often a server syncs to disk: its fsync and fdatasync calls, by strace."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.deploy.processes import descendants

ATTACH_S = 2.0
CALLS = ("fsync(", "fdatasync(", "sync_file_range(", "msync(")


def syncs_of(process: subprocess.Popen[bytes], directory: Path, work: Callable[[], None]) -> int | None:
    """Sync calls of a process and its descendants during the work; None if strace cannot run."""
    if (strace := shutil.which("strace")) is None:
        return None
    trace = directory / "strace.txt"
    pids = [process.pid, *descendants(process.pid)]
    attach = [argument for pid in pids for argument in ("-p", str(pid))]
    names = ",".join(call.removesuffix("(") for call in CALLS)
    tracer = subprocess.Popen(
        [strace, "-f", "-qq", "-e", f"trace={names}", "-e", "signal=none", "-o", trace, *attach],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(ATTACH_S)  # strace does not report that it is attached
    if tracer.poll() is not None:  # it was not permitted; its silence would count as no sync
        return None
    work()
    tracer.send_signal(signal.SIGINT)
    tracer.wait(10)
    return sum(any(call in line for call in CALLS) for line in trace.read_text().splitlines())
