"""Reports the failure of a command: one line on stderr and an exit status."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from deploy.cli.options import printable
from deploy.errors import CommandFailed, StartFailed
from shared.causes import cause_of, code_of
from shared.errors import RegistryError
from shared.variables import SettingsError

EXIT_FAILED: Final = 1
EXIT_WRONG_SETTINGS: Final = 2
# Postgres error codes for a missing schema, table or column.
NOT_MIGRATED: Final = ("3F000", "42P01", "42703")


@contextmanager
def reporting_failures() -> Iterator[None]:
    """Turns an error that ends a command into one line on stderr and an exit status."""
    try:
        yield
    except SettingsError as error:
        _fail(EXIT_WRONG_SETTINGS, str(error))
    except (StartFailed, CommandFailed) as error:
        _fail(EXIT_FAILED, str(error))
    except OSError as error:
        _fail(EXIT_FAILED, _refused_by_system(error))
    except RegistryError as error:
        _fail(EXIT_FAILED, printable(f"{_described(error)} ({error.code})"))


def _refused_by_system(error: OSError) -> str:
    """The file and the reason, as other commands of a system print them."""
    if isinstance(error, FileExistsError | NotADirectoryError) and (file := _file_in(str(error.filename))):
        return f"{file} is a file; it must be a directory"
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if error.filename else reason


def _file_in(path: str) -> Path | None:
    """The part of the path, or the whole, that exists and is no directory; None if there is none."""
    return next((part for part in (Path(path), *Path(path).parents) if part.is_file()), None)


def _described(error: RegistryError) -> str:
    """The error, its cause and, if a command repairs it, that command."""
    if error.__cause__ is None or (cause := cause_of(error)) in error.message:
        return error.message
    mend = "; run `x07-registry migrate`" if code_of(error) in NOT_MIGRATED else ""
    return f"{error.message.removesuffix(', try again')}: {cause}{mend}"


def _fail(status: int, message: str) -> None:
    print(f"x07-registry: {message}", file=sys.stderr)
    sys.exit(status)
