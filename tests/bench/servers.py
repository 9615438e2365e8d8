"""Embedded Postgres and Valkey for a benchmark, over an empty directory."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
from pydantic import SecretStr

from deploy.local.home import open_home
from deploy.local.postgres import EmbeddedPostgres
from deploy.local.valkey import EmbeddedValkey
from deploy.migrations.runner import migrate
from shared.settings import Settings


@asynccontextmanager
async def embedded_registry(**overrides: Any) -> AsyncIterator[tuple[Settings, Any]]:
    """Settings of an empty, migrated registry, and a connection to its durable Postgres.

    overrides: settings by field name.
    """
    with tempfile.TemporaryDirectory(prefix="x07-bench-") as directory, open_home(Path(directory)) as home:
        async with EmbeddedPostgres(home) as postgres, EmbeddedValkey(home) as valkey:
            settings = Settings(
                database_url=SecretStr(postgres.url),
                redis_url=SecretStr(valkey.url),
                data_dir=home.data_dir,
                **overrides,
            )
            await migrate(settings)
            connection = await asyncpg.connect(
                postgres.url, server_settings={"application_name": "x07-registry"}
            )
            try:
                yield settings, connection
            finally:
                await connection.close()
