"""Commands as real processes, cheaply: one process imports the program, and forks one for each command.

Run as `python -m tests.deploy.forked_commands` it is that process: a JSON request a line on stdin, an
answer a line on stdout.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PRELOADED = ("deploy.administration.acting", "deploy.administration.packages", "deploy.migrations.runner")


@dataclass(frozen=True)
class Answer:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


class Commands:
    """Starts commands; each may take a thread of its own, one runs at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.deploy.forked_commands"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent.parent.parent,
        )

    def run(self, arguments: tuple[str, ...], environment: dict[str, str]) -> Answer:
        """Run `x07-registry ARGUMENTS` to its end, with nothing on stdin."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        with self._lock:
            print(json.dumps([arguments, environment]), file=self._server.stdin, flush=True)
            return Answer(*json.loads(self._server.stdout.readline()))

    def close(self) -> None:
        """End the process that forks."""
        with self._server:
            pass


def _serve() -> None:
    import importlib

    from deploy.cli.app import main

    for name in PRELOADED:
        importlib.import_module(name)
    gc.freeze()
    for line in sys.stdin:
        with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
            arguments, environment = json.loads(line)
            child = os.fork()
            if child == 0:
                _become(arguments, environment, stdout.fileno(), stderr.fileno())
                try:
                    main()
                except SystemExit as ending:
                    _end(ending.code)
                return
            _, status = os.waitpid(child, 0)
            print(json.dumps([os.waitstatus_to_exitcode(status), _text(stdout), _text(stderr)]), flush=True)


def _become(arguments: list[str], environment: dict[str, str], stdout: int, stderr: int) -> None:
    """Let this process be the command: its environment, arguments and streams."""
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["x07-registry", *arguments]
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (stdout, 1), (stderr, 2)):
        os.dup2(source, target)


def _end(code: Any) -> None:
    """End without taking the interpreter apart, which touches every page that the two share."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


def _text(file: Any) -> str:
    file.seek(0)
    text: str = file.read().decode()
    return text


if __name__ == "__main__":
    _serve()
