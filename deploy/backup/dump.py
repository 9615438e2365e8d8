"""`x07-registry backup`: the whole database in one file, as it is at one moment."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from deploy.backup import queries
from deploy.backup.connection import connection_to
from deploy.backup.programs import dump_program
from deploy.errors import CommandFailed
from shared.database import Database
from shared.settings import Settings
from shared.storage.durable import flush_folder


async def dump(settings: Settings, file: Path) -> None:
    """Write the file, of mode 0600, in pg_dump's custom format. An older file of that name stays until then.

    Raises CommandFailed, OSError, RegistryError.
    """
    database = Database(settings)
    try:
        async with database.transaction() as tx:
            major = await queries.server_major(tx)
            if not await queries.has_tables(tx, settings.database_schema):
                raise CommandFailed(f"there is no registry in the schema {settings.database_schema}")
    finally:
        await database.close()
    _write(dump_program(major), settings.database_url.get_secret_value(), file)


def _write(program: Path, database_url: str, file: Path) -> None:
    new = file.with_name(f".{file.name}.new")
    new.unlink(missing_ok=True)
    os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        connection = connection_to(database_url)
        options = ("--format=custom", f"--file={new}", f"--dbname={connection.url}", "--no-password")
        status = subprocess.run([program, *options], check=False, env=connection.environment).returncode
        if status != 0:
            raise CommandFailed(f"{program} ended with exit status {status}; {file} was not written")
        new.rename(file)
        flush_folder(file.parent)
    finally:
        new.unlink(missing_ok=True)
