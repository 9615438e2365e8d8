"""An independent reader of logs: Go's golang.org/x/mod/sumdb, built if Go is installed."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).with_name("reader")
MISSING = "Go or its module golang.org/x/mod is not here: no log was read by a client that we did not write"


class ReaderRefused(Exception):
    """The reader does not accept the log; the message is the reader's."""


@dataclass(frozen=True)
class GoReader:
    """The built program."""

    program: Path

    def read(self, directory: Path, vkey: str) -> dict[str, Any]:
        """Check the whole log in a directory. Returns its size, its root and the digest of its entries."""
        command = [str(self.program), str(directory), vkey]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise ReaderRefused(done.stderr.strip())
        return dict(json.loads(done.stdout))


def build_go_reader(directory: Path) -> GoReader | None:
    """Build the program into a directory; None without Go, or if its module is not available."""
    if shutil.which("go") is None or _go("mod", "download").returncode:
        return None
    program = directory / "log-reader"
    built = _go("build", "-o", str(program), ".")
    assert built.returncode == 0, built.stderr
    return GoReader(program)


def _go(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["go", *arguments]
    return subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, timeout=300, check=False)
