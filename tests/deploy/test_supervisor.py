"""Keeping services running, over real processes."""

from __future__ import annotations

import os
import signal

import pytest

from deploy.errors import StartFailed
from deploy.local.child import ChildProcess
from deploy.local.service import Service
from deploy.local.supervisor import keep_running
from tests.deploy.processes import is_alive
from tests.stack import eventually


class Sleeper(Service):
    """A process that does nothing, until stopped or for a time."""

    name = "sleeper"
    grace_s = 5.0

    def __init__(self, *command: str) -> None:
        super().__init__()
        self._command = command or ("sleep", "60")
        self.pids: list[int] = []

    async def _spawn(self) -> ChildProcess:
        child = ChildProcess(self._command, death_signal=signal.SIGKILL)
        self.pids.append(child.pid)
        return child

    async def _is_ready(self, child: ChildProcess) -> bool:
        return self._command[0] == "sleep"


async def test_a_killed_service_is_started_again() -> None:
    """It is restarted every time, not just once."""
    service = Sleeper()
    async with keep_running(service):
        for started in (1, 2):
            os.kill(service.pids[-1], signal.SIGKILL)

            async def started_again(count: int = started) -> bool:
                return len(service.pids) > count

            await eventually(started_again)
    assert not any(is_alive(pid) for pid in service.pids)


async def test_all_are_stopped_when_the_block_ends_by_an_exception() -> None:
    """The exception is raised unchanged."""
    services = Sleeper(), Sleeper()
    with pytest.raises(KeyError):
        async with keep_running(*services):
            raise KeyError
    assert not any(is_alive(service.pid) for service in services)


async def test_if_one_cannot_start_the_others_are_stopped() -> None:
    """A registry without one of its parts does not run."""
    running, failing = Sleeper(), Sleeper("sh", "-c", "exit 5")
    with pytest.raises(StartFailed, match="sleeper ended with exit status 5"):
        async with keep_running(running, failing):
            pytest.fail("it must not start")
    assert not is_alive(running.pid)
