"""Five programs that read tar archives, each used like its users do, to unpack and to pack.

Rust's `tar` crate (which the x07 command line uses) and Go's archive/tar are small programs below readers/,
built if cargo and go are installed; GNU tar, bsdtar and Python's tarfile are used as installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

READERS: Final = Path(__file__).parent / "readers"
BUILT: Final = Path(__file__).parents[2] / ".tar_readers"
LIMIT_S: Final = 120.0
# The names in an archive are UTF-8; in another locale bsdtar converts them.
ENVIRONMENT: Final = {**os.environ, "LC_ALL": "C.UTF-8"}
AS_OUR_OWN: Final = ("--no-same-owner", "--no-same-permissions")


class ProgramFailed(Exception):
    """A program refused an archive, or failed otherwise. The message is the program's."""


class NotInstalled(Exception):
    """A program is missing on this machine. The message says why."""


@dataclass(frozen=True, slots=True)
class TarProgram:
    """A program and its name. unpack: unpacks an archive into an empty directory; raises ProgramFailed."""

    name: str
    unpack: Callable[[Path, Path], None]


def _unpack_with_python(archive: Path, directory: Path) -> None:
    try:
        with tarfile.open(archive) as opened:
            opened.extractall(directory, filter="data")
    except (tarfile.TarError, OSError, EOFError, ValueError, OverflowError) as error:
        raise ProgramFailed(repr(error)) from None


PYTHON: Final = TarProgram("Python's tarfile", _unpack_with_python)


@dataclass(frozen=True, slots=True)
class TarPrograms:
    """The programs of this machine. missing: the others, with the reason."""

    found: tuple[TarProgram, ...]
    missing: tuple[str, ...]

    @property
    def told(self) -> str:
        """A sentence that names the installed programs and the missing ones."""
        names = ", ".join(program.name for program in self.found)
        return f"{names}; missing: {'; '.join(self.missing)}" if self.missing else names


@cache
def find_tar_programs() -> TarPrograms:
    """Find the installed programs, and build our own."""
    finders = {
        "Rust's tar": lambda: _unpack_with(rust_program()),
        "Go's archive/tar": lambda: _unpack_with(go_program()),
        "GNU tar": lambda: _unpack_with_tar(tar_named("GNU tar", "tar", "gtar")),
        "bsdtar": lambda: _unpack_with_tar(tar_named("bsdtar", "bsdtar", "tar")),
    }
    found, missing = [PYTHON], []
    for name, find in finders.items():
        try:
            found.append(TarProgram(name, find()))
        except NotInstalled as reason:
            missing.append(f"{name} ({reason})")
    return TarPrograms(tuple(found), tuple(missing))


def rust_program() -> str:
    """The program of readers/rust, built. Raises NotInstalled; the first build needs the network."""
    target = BUILT / "rust"
    _build("cargo", "build", "--quiet", "--release", "--locked", "--target-dir", str(target), where="rust")
    return str(target / "release" / "archive")


def go_program() -> str:
    """The program of readers/go, built. Raises NotInstalled."""
    program = BUILT / "go" / "archive"
    _build("go", "build", "-o", str(program), ".", where="go")
    return str(program)


def tar_named(words: str, *names: str) -> str:
    """The first program of these names whose --version has these words. Raises NotInstalled."""
    for name in filter(shutil.which, names):
        if words in subprocess.run([name, "--version"], capture_output=True, text=True, check=True).stdout:
            return name
    raise NotInstalled(f"no {' or '.join(names)} that says {words}")


def run(command: Iterable[str | Path], *, where: Path | None = None) -> None:
    """Run a command. Raises ProgramFailed with the end of its output if it fails, or FileNotFoundError."""
    arguments = [str(part) for part in command]
    try:
        done = subprocess.run(
            arguments, cwd=where, env=ENVIRONMENT, capture_output=True, timeout=LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise ProgramFailed(f"{arguments[0]} takes more than {LIMIT_S} s") from None
    if done.returncode:
        raise ProgramFailed(done.stderr.decode(errors="replace").strip()[-300:])


def _build(tool: str, *arguments: str, where: str) -> None:
    if shutil.which(tool) is None:
        raise NotInstalled(f"{tool} is not installed")
    try:
        run([tool, *arguments], where=READERS / where)
    except ProgramFailed as error:
        raise NotInstalled(f"{tool} could not build it: {error}") from None


def _unpack_with(program: str) -> Callable[[Path, Path], None]:
    return lambda archive, directory: run([program, "unpack", archive, directory])


def _unpack_with_tar(tar: str) -> Callable[[Path, Path], None]:
    return lambda archive, directory: run([tar, "-x", "-f", archive, "-C", directory, *AS_OUR_OWN])
