"""The description of the registry that `up` runs, for other commands: addresses of its servers, and its keys.

`up` writes it into its data directory, readable by its owner alone, as lines that a shell can read too.
"""

from __future__ import annotations

import fcntl
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from deploy.local.directory_lock import LOCK_NAME
from shared.storage.durable import write_private_file

NAME: Final = "registry.env"


def describe(data_dir: Path, variables: Mapping[str, str]) -> None:
    """Write the variables that lead to the registry. Raises OSError."""
    lines = (f"{name}={shlex.quote(value)}\n" for name, value in sorted(variables.items()))
    write_private_file(data_dir / NAME, "".join(lines))


def described(data_dir: Path) -> dict[str, str] | None:
    """The variables of the registry that `up` runs or last ran here; None if it never ran. Raises OSError."""
    try:
        words = shlex.split((data_dir / NAME).read_text())
    except FileNotFoundError:
        return None
    return {name: value for name, _, value in (word.partition("=") for word in words)}


def is_running(data_dir: Path) -> bool:
    """True while an `up` holds the lock of the directory. Raises OSError."""
    with (data_dir / LOCK_NAME).open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
