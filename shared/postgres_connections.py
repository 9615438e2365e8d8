"""Connections to Postgres whose schema and limits are in force, with or without a pooler in between.

Postgres takes the schema and the limits as startup parameters, which cost nothing later. A pooler such as
PgBouncer refuses or ignores them, and may use another server connection for each transaction: there, the
statement that begins a transaction sets them, and prepared statements have no name.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import asyncpg

from shared.array_types import ArrayConnection

CONNECT_TIMEOUT_S = 5.0
LOCK_TIMEOUT_S = 10.0
# Triggers recognise our sessions by this name.
APPLICATION_NAME: Final = "x07-registry"
# The time that Postgres has to report a cancelled statement; after that its connection is given up.
SILENCE_S = 2.0
# PgBouncer refuses a startup parameter with this state (protocol violation). Postgres accepts all of ours.
PARAMETER_REFUSED = "08P01"

# Postgres shows a time limit in a unit of its own choice, such as 30s.
_LIMIT: Final = "CAST(current_setting('{}') AS interval) = CAST(CAST(${} AS text) || 'ms' AS interval)"
_IN_FORCE: Final = " AND ".join(
    (
        """SELECT replace(current_setting('search_path'), '"', '') = replace($1, '"', '')""",
        _LIMIT.format("statement_timeout", 2),
        _LIMIT.format("lock_timeout", 3),
        _LIMIT.format("idle_in_transaction_session_timeout", 4),
    )
)


# Names without a schema lead to the next schema of the path where the first one lacks the table.
_LEADS_ELSEWHERE: Final = "SELECT to_regclass('packages') IS DISTINCT FROM to_regclass($1)"


def idle_limit_s(statement_s: float) -> float:
    """How long a transaction may wait for its client, in seconds. statement_s: the limit of a statement."""
    return 2 * statement_s


class SchemaNotInForce(ConnectionError):
    """The connection does not use the configured schema. Nothing was read or written over it."""


@contextmanager
def closed_on_failure(connection: Any) -> Iterator[None]:
    """Drop a new connection that nobody gets, because its check failed or the caller was cancelled."""
    try:
        yield
    except BaseException:
        connection.terminate()
        raise


class PooledConnection(ArrayConnection):
    """A connection through a pooler: nothing about it outlasts a transaction."""

    parameters: dict[str, str]

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> Any:
        """Execute statements. The parameters are set in the message that begins a transaction."""
        if query.startswith("BEGIN"):
            query += "".join(f"SET LOCAL {name} = {value};" for name, value in self.parameters.items())
        return await super().execute(query, *args, timeout=timeout)

    async def prepare(self, query: str, *, name: str | None = None, **options: Any) -> Any:
        """A statement without a name, which Postgres parses at each use.

        Another server connection would not know a named statement, or would know another one by that name.
        """
        return await super().prepare(query, name="", **options)


class Connector:
    """Makes connections that use one schema. is_pooled: they go through a pooler."""

    def __init__(self, dsn: str, schema: str, statement_s: float, *, may_lack_tables: bool = False) -> None:
        """statement_s: the time limit of a statement in seconds; 0: none. may_lack_tables: as of Database."""
        self._dsn = dsn
        self._schema = schema
        self._may_lack_tables = may_lack_tables
        self._statement_s = statement_s
        self._parameters = {
            "search_path": f'"{schema}", public',
            "statement_timeout": f"{statement_s * 1000:.0f}",
            "lock_timeout": f"{LOCK_TIMEOUT_S * 1000:.0f}",
            "idle_in_transaction_session_timeout": f"{idle_limit_s(statement_s) * 1000:.0f}",
        }
        self.is_pooled = False

    async def connect(self) -> asyncpg.Connection[asyncpg.Record]:
        """A new connection. Raises SchemaNotInForce, OSError and the driver's errors."""
        try:
            if not self.is_pooled and (direct := await self._direct()):
                return direct
            return await self._pooled()
        except TimeoutError:  # this says nothing about connections that are open
            raise ConnectionError(f"no connection to Postgres within {CONNECT_TIMEOUT_S:.0f} s") from None

    async def _direct(self) -> asyncpg.Connection[asyncpg.Record] | None:
        """A connection that took the startup parameters; None if a pooler refused or ignored them."""
        try:
            connection = await self._open(ArrayConnection, self._parameters)
        except asyncpg.PostgresError as error:
            if error.sqlstate != PARAMETER_REFUSED:
                raise
            return None
        with closed_on_failure(connection):
            if await self._are_in_force(connection):
                return await self._required(connection, await self._leads_elsewhere(connection))
        await connection.close()
        return None

    async def _pooled(self) -> asyncpg.Connection[asyncpg.Record]:
        # SQLAlchemy keeps the statements; what the driver itself asks has no name either then.
        connection = await self._open(PooledConnection, {}, statement_cache_size=0)
        connection.parameters = self._parameters
        with closed_on_failure(connection):
            async with connection.transaction():
                is_in_force = await self._are_in_force(connection)
                leads_elsewhere = is_in_force and await self._leads_elsewhere(connection)
        if not is_in_force:
            await connection.close()
            raise SchemaNotInForce(
                f"the connection does not use the schema {self._parameters['search_path']}"
            )
        self.is_pooled = True
        return await self._required(connection, leads_elsewhere)

    async def _leads_elsewhere(self, connection: asyncpg.Connection[asyncpg.Record]) -> bool:
        """True if names of tables lead to the schema public, because the configured schema has none."""
        if self._may_lack_tables or self._schema == "public":
            return False
        return bool(await connection.fetchval(_LEADS_ELSEWHERE, f'"{self._schema}".packages'))

    async def _required(self, connection: Any, leads_elsewhere: bool) -> Any:
        """The connection, unless its statements would reach the tables of another registry."""
        if leads_elsewhere:
            await connection.close()
            raise SchemaNotInForce(
                f'the schema "{self._schema}" has no tables, and those of the schema "public" are another '
                "registry's; correct X07_REGISTRY_DATABASE_SCHEMA, or run `x07-registry migrate`"
            )
        return connection

    async def _open(self, kind: type[Any], parameters: dict[str, str], **options: Any) -> Any:
        return await asyncpg.connect(
            self._dsn,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=self._statement_s + SILENCE_S if self._statement_s else None,
            server_settings={"application_name": APPLICATION_NAME, **parameters},
            connection_class=kind,
            **options,
        )

    async def _are_in_force(self, connection: asyncpg.Connection[asyncpg.Record]) -> bool:
        return bool(await connection.fetchval(_IN_FORCE, *self._parameters.values()))
