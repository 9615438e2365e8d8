"""Child processes: how they end, and that they never outlive their parent."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.child import ChildEnded, ChildProcess
from tests.deploy.processes import is_alive, until

IGNORES_TERM = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
PARENT = """
import asyncio, signal
from deploy.local.child import ChildProcess

async def main():
    print(ChildProcess(["sleep", "60"], death_signal=signal.SIGKILL).pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def start(*command: str) -> ChildProcess:
    """Start a child that would be killed with this process."""
    return ChildProcess(command, death_signal=signal.SIGKILL)


async def test_an_end_is_told_by_status_or_signal() -> None:
    """The supervisor's log says what happened."""
    assert await start("sh", "-c", "exit 3").ended() == "exit status 3"
    assert await start("sh", "-c", "kill -9 $$").ended() == "SIGKILL"


async def test_stopping_uses_the_first_signal_that_works() -> None:
    """A process that obeys is not killed."""
    child = start("sleep", "60")
    await child.stop(signal.SIGTERM, grace_s=5)
    assert await child.ended() == "SIGTERM"


async def test_a_process_that_ignores_its_signal_is_killed(tmp_path: Path) -> None:
    """Stopping always ends."""
    output = tmp_path / "output"
    with output.open("wb") as file:
        child = ChildProcess(["sh", "-c", IGNORES_TERM], death_signal=signal.SIGKILL, output=file)
    until(lambda: output.read_text() == "ready\n")
    await child.stop(signal.SIGTERM, grace_s=0.1)
    assert await child.ended() == "SIGKILL"


async def test_waiting_for_an_answer_ends_with_the_process() -> None:
    """Nobody waits for an answer that cannot come any more."""
    child = start("sh", "-c", "exit 4")

    async def answer() -> None:
        await asyncio.Event().wait()

    with pytest.raises(ChildEnded, match="exit status 4"):
        await child.outlasts(answer())


def test_a_child_dies_when_its_parent_is_killed() -> None:
    """kill -9 leaves the parent no time to stop anything, so the kernel does it."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_alive(child)
        parent.kill()
    until(lambda: not is_alive(child))
