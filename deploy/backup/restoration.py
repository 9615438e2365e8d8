"""`x07-registry restore`: a file of `backup` becomes the contents of an empty database.

`pg_restore` turns the file into statements, and `psql` executes them in one transaction. It commits only
after the whole file was read.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Final, cast

from deploy.backup import queries
from deploy.backup.connection import Connection, connection_to
from deploy.backup.programs import first, newest
from deploy.errors import CommandFailed
from deploy.migrations.runner import migrate
from shared.database import Database
from shared.settings import Settings

TO_SCRIPT: Final = ("--file=-", "--no-owner", "--no-privileges", "--no-comments")
PSQL: Final = ("--no-psqlrc", "--no-password", "--quiet", "--output=/dev/null", "--set=ON_ERROR_STOP=1")
HEADER: Final = (b"\n", b"--", b"\\restrict", b"SET ", b"SELECT pg_catalog.set_config")
# pg_restore sets this limit to none, and Postgres knows it since version 17.
SINCE_17: Final = b"SET transaction_timeout"


async def restore(settings: Settings, file: Path) -> None:
    """Restore the file into the database and migrate it. A file that cannot be restored changes nothing.

    Raises CommandFailed, OSError, RegistryError.
    """
    database = Database(settings, may_lack_tables=True)
    try:
        async with database.transaction() as tx:
            if await queries.has_tables(tx, settings.database_schema):
                raise CommandFailed("the database has a registry already; restore into an empty database")
    finally:
        await database.close()
    _load(file, connection_to(settings.database_url.get_secret_value()), settings.database_schema)
    await migrate(settings)


def _load(file: Path, connection: Connection, schema: str) -> None:
    reading: list[str | Path] = [newest("pg_restore"), *TO_SCRIPT, file]
    writing: list[str | Path] = [first("psql"), *PSQL, f"--dbname={connection.url}"]
    with (
        subprocess.Popen(reading, stdout=subprocess.PIPE) as reader,
        subprocess.Popen(writing, stdin=subprocess.PIPE, env=connection.environment) as writer,
    ):
        script, statements = cast(IO[bytes], reader.stdout), cast(IO[bytes], writer.stdin)
        with suppress(BrokenPipeError), statements:
            _copy(script, statements)
            if reader.wait() == 0:
                statements.write(queries.commit_if_restored(schema).encode())
        script.close()  # if psql gave up, this ends pg_restore
    if reader.returncode != 0 or writer.returncode != 0:
        raise CommandFailed(f"{file} was not restored; the database has not changed")


def _copy(script: IO[bytes], statements: IO[bytes]) -> None:
    statements.write(b"BEGIN;\n")
    for line in _header(script):
        if not line.startswith(SINCE_17):
            statements.write(line)
    shutil.copyfileobj(script, statements)


def _header(script: IO[bytes]) -> Iterator[bytes]:
    """The lines before the first object, and that object's first line."""
    for line in script:
        yield line
        if not line.startswith(HEADER):
            return
