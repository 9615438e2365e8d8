"""Real processes in tests: the running ones, the ended ones, and a whole `x07-registry up`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

DEADLINE_S = 120.0
COMMAND = (sys.executable, "-P", "-m", "deploy.cli")


def until(condition: Callable[[], Any], deadline_s: float = DEADLINE_S) -> Any:
    """Wait for the first true value of a condition; fails the test after the deadline."""
    deadline = time.monotonic() + deadline_s
    while not (value := condition()):
        assert time.monotonic() < deadline, "the deadline passed"
        time.sleep(0.02)
    return value


def is_alive(pid: int) -> bool:
    """True for a running process; a zombie is not running."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def descendants(pid: int) -> dict[int, str]:
    """The command lines of all descendants by process id, without those that end meanwhile."""
    found: dict[int, str] = {}
    with suppress(FileNotFoundError, ProcessLookupError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            with suppress(FileNotFoundError, ProcessLookupError):
                found[int(child)] = Path(f"/proc/{child}/cmdline").read_text().replace("\0", " ")
                found |= descendants(int(child))
    return found


def environment(**variables: str) -> dict[str, str]:
    """This process's environment with these variables, and no other settings of a registry."""
    ours = ("X07_REGISTRY_", "DATABASE_URL")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | variables


class Up:
    """A running `x07-registry up` on a data directory, at a free port."""

    def __init__(
        self, data_dir: Path, bind: str = "127.0.0.1:0", checkout: Path | None = None, **variables: str
    ) -> None:
        """checkout: a folder with another version of this program and its .venv; None for this one."""
        command = COMMAND if checkout is None else (checkout / ".venv/bin/python", *COMMAND[1:])
        self.data_dir = data_dir
        self._output = data_dir.with_suffix(".out")
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [*command, "up", "--bind", bind, "--data-dir", data_dir],
                cwd=checkout,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment(**variables),
            )
        try:
            until(self._has_started)
        except AssertionError:
            self.process.kill()
            self.process.wait()
            raise AssertionError(self.output) from None

    def _has_started(self) -> bool:
        assert self.process.poll() is None
        return "Stop with Ctrl-C" in self.output

    @property
    def output(self) -> str:
        """Everything that it printed."""
        return self._output.read_text()

    @property
    def url(self) -> str:
        """The address that it prints."""
        return self.output.partition("listens on ")[2].split()[0]

    def get(self, path: str, token: str | None = None) -> bytes:
        """The body of a successful answer. Raises OSError."""
        headers = {"authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(self.url + path, headers=headers)  # noqa: S310 - the scheme is http
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            body: bytes = response.read()
            return body

    def answers(self, path: str, token: str | None = None) -> bool:
        """True if it gives a successful answer now."""
        try:
            self.get(path, token)
        except OSError:
            return False
        return True

    @property
    def token(self) -> str:
        """The first admin's token."""
        return (self.data_dir / "token").read_text().strip()

    def pid_of(self, part: str) -> int | None:
        """The process of a part, found by a word of its command line; None if there is none."""
        children = descendants(self.process.pid).items()
        return next((pid for pid, command in children if part in command and is_alive(pid)), None)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal to the command alone and wait. Returns its exit status."""
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_S)
