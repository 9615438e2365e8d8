"""Postgres and Valkey for fault tests only, so that restarting them disturbs no other test."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import asyncpg
from redis.asyncio import Redis

from deploy.local.home import Home, open_home
from deploy.local.postgres import EmbeddedPostgres
from deploy.local.valkey import EmbeddedValkey
from deploy.migrations.runner import migrate
from shared.settings import Settings
from tests.memory import servers_directory

TEMPLATE = "template_x07"


@dataclass
class Servers:
    """Both servers, running."""

    home: Home
    postgres: EmbeddedPostgres
    valkey: EmbeddedValkey
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncIterator[Self]:
        """Start both servers with a migrated template database; stop them at the end."""
        with (
            tempfile.TemporaryDirectory(prefix="x07-faults-", dir=servers_directory()) as directory,
            open_home(Path(directory)) as home,
        ):
            postgres, valkey = EmbeddedPostgres(home, durable=False), EmbeddedValkey(home)
            async with postgres, valkey:
                servers = cls(home, postgres, valkey)
                await servers.sql(f"CREATE DATABASE {TEMPLATE}")
                await migrate(Settings(database_url=postgres.url_of(TEMPLATE)))
                yield servers

    @property
    def postgres_socket(self) -> Path:
        """The socket of Postgres."""
        return self.home.sockets / ".s.PGSQL.5432"

    @property
    def valkey_socket(self) -> Path:
        """The socket of Valkey."""
        return self.home.sockets / "valkey.sock"

    async def new_database(self, template: str = TEMPLATE) -> str:
        """Create a database and return its URL."""
        name = f"faults_{next(self._numbers)}"
        await self.sql(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.postgres.url_of(name)

    async def empty_valkey(self) -> None:
        """Delete all keys."""
        async with Redis.from_url(self.valkey.url) as redis:
            await redis.flushall()

    async def sql(self, statement: str, url: str | None = None) -> None:
        """Run a statement as the superuser. url: of the database; None for `postgres`."""
        connection = await asyncpg.connect(url or self.postgres.url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()
