"""Connections to Postgres, and the one place where a driver's error becomes ours.

It contains no SQL, which is in the query modules.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode

import asyncpg
import structlog
from sqlalchemy import Connection as SyncConnection
from sqlalchemy import event
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.exc import DBAPIError, InvalidatePoolError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import QueuePool

from shared.causes import cause_of, causes_of
from shared.errors import BadRequest, DatabaseFailed, DatabaseUnavailable, RegistryError
from shared.postgres_connections import SILENCE_S, Connector, PooledConnection
from shared.settings import Settings
from shared.statements import Connection, Driver, Isolation, fetch
from shared.strict_json import parse_stored_json

POOL_WAIT_S = 10.0
BEGUN_AT = "begun_at"

# SQLSTATE classes and codes for which a retry may help: connection trouble, serialization and deadlocks, lack
# of resources, shutdown; then lock timeout, read-only standby, a transaction that was idle too long, and a
# database, schema, table or column that a migration is about to create.
RETRY_CLASSES = ("08", "40", "53", "57", "58")
READ_ONLY = "25006"
# 55000: the database accepts no connections, for instance during a failover.
RETRY_CODES = ("55000", "55P03", READ_ONLY, "25P03", "3D000", "3F000", "42P01", "42703")
DATA_EXCEPTION_CLASS = "22"
# Parameters of a URL for libpq or the older server's driver, which ours would forward to Postgres.
NOT_OURS = frozenset(
    {
        "channel_binding",
        "connect_timeout",
        "fallback_application_name",
        "gssdelegation",
        "gssencmode",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "load_balance_hosts",
        "require_auth",
        "sslcertmode",
        "sslcompression",
        "sslsni",
        "statement-cache-capacity",
        "tcp_user_timeout",
    }
)
# Other names of parameters that our driver knows.
ALIASES = {
    "hostaddr": "host",
    "ssl-ca": "sslrootcert",
    "ssl-cert": "sslcert",
    "ssl-key": "sslkey",
    "ssl-mode": "sslmode",
    "ssl-root-cert": "sslrootcert",
}
_OPTION = re.compile(r"options\[(.+)\]")
_HOST = re.compile(r"(?<=://)(?P<user>[^/@]*@)?(?:\[[^\]]*\]|[^/:@,]*)(?::(?P<port>\d+))?(?=/|$)")

# Of a connection that SQLAlchemy's pool could not open; the driver's error is its cause.
NOT_OPENED = AsyncAdapt_asyncpg_dbapi.Error

DRIVER_ERRORS = (
    SQLAlchemyError,
    NOT_OPENED,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that broke off in the middle of a message
    OSError,
)

LOST = (OSError, PoolTimeout, asyncpg.InterfaceError, asyncpg.InternalClientError, DBAPIError, NOT_OPENED)


@dataclass(frozen=True, slots=True)
class PoolUse:
    """The connections of a pool. limit: the most that it opens."""

    in_use: int
    idle: int
    limit: int


class Database:
    """A pool of connections whose search_path is the configured schema.

    Connections are opened when first needed: a registry starts without Postgres and answers 503.
    """

    def __init__(
        self, settings: Settings, *, is_patient: bool = False, may_lack_tables: bool = False
    ) -> None:
        """is_patient: statements have no time limit, as in migrations.

        may_lack_tables: the schema may not be migrated yet. Otherwise one without tables is refused if the
        statements would reach those of another registry, in the schema public.
        """
        self.schema = settings.database_schema
        self._connector = Connector(
            driver_dsn(settings.database_url.get_secret_value()),
            self.schema,
            0.0 if is_patient else settings.database_timeout_seconds,
            may_lack_tables=may_lack_tables,
        )
        self._engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=self._connector.connect,
            pool_size=settings.database_pool_size,
            max_overflow=0,
            pool_timeout=POOL_WAIT_S,
            pool_pre_ping=False,
            json_deserializer=parse_stored_json,
            hide_parameters=True,  # no value, which may be a secret, in the text of an error
        )
        # Connections that were opened before this time are given up, because one of them fell silent.
        self._silent_at = 0.0
        event.listen(self._engine.sync_engine, "connect", _note_beginning)
        event.listen(self._engine.sync_engine, "checkout", self._refuse_dead)
        self._autocommit = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    @asynccontextmanager
    async def transaction(self, isolation: Isolation | None = None) -> AsyncIterator[AsyncConnection]:
        """A transaction: committed at the end, rolled back on any exception.

        Raises DatabaseUnavailable when a retry may work, BadRequest when a value cannot be stored,
        DatabaseFailed otherwise. After DatabaseUnavailable the commit may still have happened.
        """
        async with self._mapped_errors(), self._engine.connect() as connection:
            if isolation is not None:
                connection = await connection.execution_options(isolation_level=isolation)
            async with connection.begin():
                yield connection

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection for one statement, which is its own transaction: one round trip, not three.

        Behind a pooler it is a transaction that sets the schema and the limits at its start.
        Raises the errors of transaction().
        """
        async with self._mapped_errors(), self._autocommit.connect() as connection:
            if not self.is_pooled:
                yield connection
                return
            driver = cast(SyncConnection, connection.sync_connection).connection.driver_connection
            async with cast(PooledConnection, driver).transaction():
                yield connection

    @asynccontextmanager
    async def driver(self) -> AsyncIterator[Driver]:
        """The driver's own connection for one statement, which is its own transaction, like reading().

        For statements of every publish: SQLAlchemy's layers cost four times what the driver does.
        """
        async with self._driver_connection() as driver:
            if not self.is_pooled:
                yield driver
                return
            async with driver.transaction():
                yield driver

    @asynccontextmanager
    async def driver_transaction(self, isolation: Isolation | None = None) -> AsyncIterator[Driver]:
        """A transaction like transaction(), over the driver's own connection."""
        level = None if isolation is None else isolation.lower().replace(" ", "_")
        async with self._driver_connection() as driver:
            transaction = driver.transaction(isolation=level)
            await transaction.start()
            try:
                yield driver
            except (TimeoutError, OSError):
                raise  # a server that fell silent would not answer a rollback either
            except BaseException:
                async with asyncio.timeout(SILENCE_S):
                    await transaction.rollback()
                raise
            await transaction.commit()

    @asynccontextmanager
    async def _driver_connection(self) -> AsyncIterator[Driver]:
        async with self._mapped_errors():
            proxied = await self._engine.raw_connection()
            try:
                yield cast(Driver, proxied.driver_connection)
            except (asyncio.CancelledError, TimeoutError, OSError):
                proxied.invalidate()  # its statement, and so its transaction, may still be under way
                raise
            finally:
                proxied.close()

    @asynccontextmanager
    async def _mapped_errors(self) -> AsyncIterator[None]:
        try:
            yield
        except RegistryError:
            raise
        except DRIVER_ERRORS as error:
            if _sqlstate(error) == READ_ONLY:
                # A server that became a standby stays one: the next connection may find the new primary.
                await self._engine.dispose()
            if any(isinstance(cause, TimeoutError) for cause in causes_of(error)):
                self._silent_at = time.monotonic()
            raise as_registry_error(error) from error

    def _refuse_dead(self, connection: Any, record: Any, _proxy: Any) -> None:
        """Have the pool replace connections that Postgres closed, or that lead to a silent server.

        Costs no round trip. Otherwise requests would wait for each connection of the pool in turn.
        """
        if connection.driver_connection.is_closed() or record.info[BEGUN_AT] < self._silent_at:
            raise InvalidatePoolError

    @property
    def is_pooled(self) -> bool:
        """True once a connection went through a pooler such as PgBouncer."""
        return self._connector.is_pooled

    def pool_use(self) -> PoolUse:
        """The present use of the pool."""
        pool = cast(QueuePool, self._engine.pool)
        return PoolUse(pool.checkedout(), pool.checkedin(), pool.size())

    async def check(self) -> None:
        """Raise unless Postgres answers (for readiness)."""
        async with self.transaction() as tx:
            await tx.exec_driver_sql("SELECT 1")

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()


async def require_open(tx: Connection) -> None:
    """Raise DatabaseUnavailable unless the transaction, with every lock that it holds, is still open."""
    try:
        await fetch(tx, "SELECT 1")
    except DRIVER_ERRORS as error:
        raise DatabaseUnavailable from error


def _note_beginning(_connection: Any, record: Any) -> None:
    record.info[BEGUN_AT] = time.monotonic()


def as_registry_error(error: BaseException) -> RegistryError:
    """The error for a driver's error, whose text goes to the log only.

    For a value that cannot be stored, the text contains the value, so it is not logged either.
    """
    sqlstate = _sqlstate(error)
    is_of_value = sqlstate is not None and sqlstate[:2] == DATA_EXCEPTION_CLASS
    told = {} if is_of_value else {"cause": cause_of(error)}
    structlog.get_logger().warning("database_error", error=type(error).__name__, sqlstate=sqlstate, **told)
    if sqlstate is None:
        return DatabaseUnavailable() if isinstance(error, LOST) else DatabaseFailed()
    if any(isinstance(cause, asyncpg.InvalidCachedStatementError) for cause in causes_of(error)):
        return DatabaseUnavailable()  # a newer schema beside us; the statement is prepared anew next time
    if sqlstate[:2] in RETRY_CLASSES or sqlstate in RETRY_CODES:
        return DatabaseUnavailable()
    if is_of_value:
        return BadRequest("a value cannot be stored")
    return DatabaseFailed()


def _sqlstate(error: BaseException) -> str | None:
    """The SQLSTATE of the error or of what caused it, if Postgres gave one."""
    return next(
        (cause.sqlstate for cause in causes_of(error) if isinstance(cause, asyncpg.PostgresError)), None
    )


def driver_dsn(url: str) -> str:
    """The URL for asyncpg, from one for libpq or sqlx. Unknown parameters become server settings."""
    base, _, query = url.partition("?")
    kept = {_parameter(key): value for key, value in parse_qsl(query) if key not in NOT_OURS}
    if "host" in kept and (address := _HOST.search(base)):
        # `@localhost:5432/db?host=/socket/dir` means the socket; asyncpg would go to localhost.
        base = base[: address.start()] + (address["user"] or "") + base[address.end() :]
        kept = ({"port": address["port"]} if address["port"] else {}) | kept
    return f"{base}?{urlencode(kept)}" if kept else base


def _parameter(key: str) -> str:
    """asyncpg's name of a parameter; sqlx writes server settings as `options[NAME]`."""
    option = _OPTION.fullmatch(key)
    return option[1] if option else ALIASES.get(key, key)
