"""`x07-registry migrate`: brings the database's schema up to date."""

from __future__ import annotations

import asyncio


def migrate() -> None:
    """Bring the database to the newest schema, and adopt the tables of the older server.

    May run any number of times, also while the registry runs.
    """
    from deploy.cli.settings import command_settings
    from deploy.migrations import runner

    # The command uses no storage, so it needs no keys to it.
    settings = command_settings(storage="fs")
    asyncio.run(runner.migrate(settings))
    print("the database is up to date")
