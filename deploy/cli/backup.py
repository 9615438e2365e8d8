"""`x07-registry backup` and `restore`: the database in one file."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.options import given
from deploy.cli.up import DataDir

if TYPE_CHECKING:
    from shared.settings import Settings

File = Annotated[Path, typer.Argument(metavar="FILE", dir_okay=False)]
ExistingFile = Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False)]


def backup(file: File) -> None:
    """Write the database to FILE, as it is at one moment; storage is copied by `export` (docs/backup.md).

    Servers may run meanwhile. Runs pg_dump, either the one on PATH or that of the embedded Postgres. FILE is
    complete or is not there, and only its owner may read it.
    """
    from deploy.backup.dump import dump
    from deploy.cli.settings import command_settings

    # The command uses no storage, so it needs no keys to it.
    asyncio.run(dump(command_settings(storage="fs"), file))
    print(f"the database is in {file} ({file.stat().st_size} bytes)")


def restore(file: ExistingFile, data_dir: DataDir = None) -> None:
    """Restore the database from FILE, which `backup` or `pg_dump --format=custom` made, and migrate it.

    The database must be empty. Without X07_REGISTRY_DATABASE_URL, it is the embedded one in DIR, for
    `x07-registry up --data-dir DIR`. Storage is restored by other commands (docs/backup.md).
    """
    from deploy.cli.settings import quiet_settings

    settings = quiet_settings(storage="fs", **given(data_dir=data_dir))
    asyncio.run(_restore(settings, file))
    print(f"the database is restored from {file}")


async def _restore(settings: Settings, file: Path) -> None:
    from deploy.backup.restoration import restore as restored
    from deploy.local.postgres import embedded_database

    if "database_url" in settings.model_fields_set:
        await restored(settings, file)
        return
    async with embedded_database(settings.data_dir) as url:
        await restored(settings.model_copy(update={"database_url": url}), file)
