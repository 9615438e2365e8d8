"""`x07-registry migrate`: the database's schema."""

from __future__ import annotations

import asyncio


def migrate() -> None:
    """Bring the database to the newest schema; adopt the tables of an older server.

    May run any number of times, and beside a running registry.
    """
    from deploy.migrations import runner
    from shared.settings import load_settings
    from shared.telemetry import configure_logging

    settings = load_settings()
    configure_logging(settings)
    asyncio.run(runner.migrate(settings))
    print("the database is up to date")
