"""The toolchain's own linter, run over an upload's modules in each allowed world (docs/lint.md).

It runs after the built-in checks. Its findings follow the same rule (lint_report.py) and lead to the same
error. The number of linter processes is limited for the whole server; linter_process.py limits one run.
"""

from __future__ import annotations

import asyncio
import re
import shlex
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import structlog

from api.write.archive.check import CheckedArchive, extract_modules
from api.write.archive.lint_report import LintReport
from api.write.archive.lint_rules import Diagnostic
from api.write.archive.linter_process import Limits, Ran, TooMuch, isolation, run_limited
from shared.concurrency import together
from shared.errors import Internal
from shared.publish_errors import PublishLintFailed
from shared.settings import Settings
from shared.storage.leftovers import UNPACKED
from shared.storage.os_errors import mapped_os_errors
from shared.text import rust_quote
from shared.variables import SettingsError

# Seconds of wall clock for all runs of an upload, for each second of processor time of one run.
WALL_FACTOR: Final = 6
MESSAGE_CHARACTERS: Final = 500
ERROR: Final = "error"
EXIT_CLEAN, EXIT_FOUND = 0, 1

_SPACE = re.compile(r"\s+")

log = structlog.get_logger()


class Location(msgspec.Struct, frozen=True):
    """The place of a finding. ptr: JSON pointer (RFC 6901)."""

    ptr: str | None = None


class Reported(msgspec.Struct, frozen=True):
    """One finding in the toolchain's own format; other fields are ignored."""

    code: str
    message: str = ""
    severity: str = ERROR
    loc: Location | None = None


class LinterOutput(msgspec.Struct, frozen=True):
    """The report that a linter writes to stdout."""

    diagnostics: tuple[Reported, ...] = ()


@dataclass
class Budget:
    """The folder and the time that the runs of one upload share. left_s: seconds left."""

    directory: Path
    left_s: float

    @contextmanager
    def spending(self) -> Iterator[float]:
        """The seconds that a run may take. Its time is deducted; its wait for a process place is not."""
        began = time.monotonic()
        try:
            yield max(self.left_s, 0)
        finally:
            self.left_s -= time.monotonic() - began


class Linter:
    """Runs the configured command. All runs of a server share its process places."""

    def __init__(self, command: Sequence[str], settings: Settings) -> None:
        self._command = tuple(command)
        self._processor_s, self._memory_bytes = settings.lint_seconds, settings.lint_memory_bytes
        self._places = asyncio.Semaphore(settings.lint_processes)
        self._spool = settings.spool_dir

    async def lint(self, archive: CheckedArchive, path: Path) -> None:
        """Raise PublishLintFailed for the linter's errors, or if it does not finish in time.

        path: the archive, which passed the built-in checks. Raises Internal if the linter itself fails,
        StorageUnavailable if there is no room for the modules or for a process.
        """
        directory = await asyncio.to_thread(self._new_directory)
        try:
            modules = await asyncio.to_thread(_extract, path, directory)
            budget = Budget(directory, WALL_FACTOR * self._processor_s)
            report = LintReport(archive.worlds)
            for module_id, file in modules.items():
                found = await self._in_each_world(archive.worlds, module_id, file, budget)
                report.add_diagnostics(module_id, dict(zip(archive.worlds, found, strict=True)))
        finally:
            await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)
        report.require_clean()

    def _new_directory(self) -> Path:
        with mapped_os_errors():
            return Path(tempfile.mkdtemp(prefix=UNPACKED, dir=self._spool))

    async def _in_each_world(
        self, worlds: Sequence[str], module_id: str, file: Path, budget: Budget
    ) -> list[list[Diagnostic]]:
        """The errors of a module in each world. The first run that exceeds a limit ends the others."""
        runs = (self._run(world, module_id, file, budget) for world in worlds)
        return await together(*runs, at_once=len(worlds))

    async def _run(self, world: str, module_id: str, file: Path, budget: Budget) -> list[Diagnostic]:
        values = {"{world}": world, "{file}": str(file)}
        command = [_filled(argument, values) for argument in self._command]
        try:
            async with self._places:
                with budget.spending() as wall_s:
                    limits = Limits(wall_s, self._processor_s, self._memory_bytes)
                    ran = await run_limited(command, budget.directory, limits)
        except TooMuch as error:
            raise _failed(f"[{world}] {module_id}: the linter {error}") from None
        return _errors_of(ran, world, module_id)


def open_linter(settings: Settings) -> Linter | None:
    """The configured linter, or None. Blocks briefly. Raises SettingsError."""
    if settings.lint_command is None:
        return None
    command = shlex.split(settings.lint_command)
    program = shutil.which(command[0])
    if program is None:
        missing = rust_quote(command[0])
        raise SettingsError(f"X07_REGISTRY_LINT_COMMAND: there is no program {missing} on PATH")
    isolation()
    return Linter((str(Path(program).absolute()), *command[1:]), settings)


def _extract(path: Path, directory: Path) -> dict[str, Path]:
    with mapped_os_errors():
        return extract_modules(path, directory)


def _filled(argument: str, values: dict[str, str]) -> str:
    for placeholder, value in values.items():
        argument = argument.replace(placeholder, value)
    return argument


def _errors_of(ran: Ran, world: str, module_id: str) -> list[Diagnostic]:
    """The errors of a run, sorted, each once. Raises Internal for a run that failed."""
    output = _parse_output(ran.stdout)
    found = output.diagnostics if output is not None else ()
    errors = {_diagnostic(reported) for reported in found if reported.severity == ERROR}
    if output is None or not (ran.status == EXIT_CLEAN or (ran.status == EXIT_FOUND and errors)):
        log.error(
            "lint_command_failed",
            status=ran.status,
            world=world,
            module=module_id,
            stderr=ran.stderr[-MESSAGE_CHARACTERS:].decode(errors="replace"),
        )
        raise Internal
    return sorted(errors)


def _parse_output(stdout: bytes) -> LinterOutput | None:
    """The report; an empty one for no output, None for output that is not a report."""
    if not stdout.strip():
        return LinterOutput()
    try:
        return msgspec.json.decode(stdout, type=LinterOutput)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _diagnostic(reported: Reported) -> Diagnostic:
    pointer = reported.loc.ptr if reported.loc is not None else None
    return Diagnostic(_line(pointer or ""), _line(reported.code), _line(reported.message))


def _line(text: str) -> str:
    """The text on one line, cut to a readable length."""
    return _SPACE.sub(" ", text).strip()[:MESSAGE_CHARACTERS]


def _failed(error: str) -> PublishLintFailed:
    return PublishLintFailed(f"x07AST lint failed (1 error(s)).\n{error}")
