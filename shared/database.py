"""Connections to Postgres, and the one place where a driver's error becomes ours.

No SQL lives here: api/write/queries and indexer/queries.py hold it.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, cast
from urllib.parse import parse_qsl, urlencode

import asyncpg
import structlog
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, InvalidatePoolError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import QueuePool

from shared.errors import BadRequest, DatabaseFailed, DatabaseUnavailable, RegistryError
from shared.settings import Settings

CONNECT_TIMEOUT_S = 5.0
LOCK_TIMEOUT_S = 10.0
# What Postgres may take besides to say that a statement was cancelled; then its connection is given up.
SILENCE_S = 2.0
POOL_WAIT_S = 10.0
BEGUN_AT = "begun_at"

# SQLSTATE classes and codes behind which a retry may work: connection trouble, serialization and
# deadlocks, lack of resources, shutdown; then lock timeout, read-only standby, a transaction that idled
# too long, and a database, schema, table or column that a migration is about to make.
RETRY_CLASSES = ("08", "40", "53", "57", "58")
READ_ONLY = "25006"
RETRY_CODES = ("55P03", READ_ONLY, "25P03", "3D000", "3F000", "42P01", "42703")
DATA_EXCEPTION_CLASS = "22"
# Parameters of a URL that libpq or the older server's driver knows, and ours would hand to Postgres.
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
# Other names for what ours knows.
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

DRIVER_ERRORS = (
    SQLAlchemyError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that broke off in the middle of a message
    OSError,
)

LOST = (OSError, PoolTimeout, asyncpg.InterfaceError, asyncpg.InternalClientError, DBAPIError)

Isolation = Literal["READ COMMITTED", "REPEATABLE READ"]


@dataclass(frozen=True, slots=True)
class PoolUse:
    """Connections of a pool. limit: how many there may be."""

    in_use: int
    idle: int
    limit: int


class Database:
    """A pool of connections whose search_path is the configured schema.

    Connections are made when first needed: a registry starts without Postgres and answers 503.
    """

    def __init__(self, settings: Settings, *, is_patient: bool = False) -> None:
        """is_patient: a statement may take as long as it does, as those of migrations."""
        # To Postgres 0 is no limit, to the driver None.
        self._statement_s = 0.0 if is_patient else settings.database_timeout_seconds
        self.schema = settings.database_schema
        self._dsn = driver_dsn(settings.database_url.get_secret_value())
        self._engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=self._connect,
            pool_size=settings.database_pool_size,
            max_overflow=0,
            pool_timeout=POOL_WAIT_S,
            pool_pre_ping=False,
            hide_parameters=True,  # no value, which may be a secret, in the text of an error
        )
        # Connections made before it are given up: one of them fell silent.
        self._silent_at = 0.0
        event.listen(self._engine.sync_engine, "connect", _note_beginning)
        event.listen(self._engine.sync_engine, "checkout", self._refuse_dead)
        self._autocommit = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    async def _connect(self) -> asyncpg.Connection[asyncpg.Record]:
        try:
            return await asyncpg.connect(
                self._dsn,
                timeout=CONNECT_TIMEOUT_S,
                command_timeout=self._statement_s + SILENCE_S if self._statement_s else None,
                server_settings={
                    "search_path": f'"{self.schema}", public',
                    "application_name": "x07-registry",
                    "statement_timeout": _milliseconds(self._statement_s),
                    "lock_timeout": _milliseconds(LOCK_TIMEOUT_S),
                    "idle_in_transaction_session_timeout": _milliseconds(2 * self._statement_s),
                },
            )
        except TimeoutError:  # which says nothing of the connections that stand
            raise ConnectionError(f"no connection to Postgres within {CONNECT_TIMEOUT_S:.0f} s") from None

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
        """A connection for one statement that reads: one round trip, not three. Raises as transaction()."""
        async with self._mapped_errors(), self._autocommit.connect() as connection:
            yield connection

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
            if any(isinstance(cause, TimeoutError) for cause in _causes(error)):
                self._silent_at = time.monotonic()
            raise as_registry_error(error) from error

    def _refuse_dead(self, connection: Any, record: Any, _proxy: Any) -> None:
        """Let the pool make new connections for those that Postgres closed, or that lead to a silent one.

        Costs no round trip. Else each connection of a pool would be waited for in turn.
        """
        if connection.driver_connection.is_closed() or record.info[BEGUN_AT] < self._silent_at:
            raise InvalidatePoolError

    def pool_use(self) -> PoolUse:
        """How much of the pool is in use now."""
        pool = cast(QueuePool, self._engine.pool)
        return PoolUse(pool.checkedout(), pool.checkedin(), pool.size())

    async def check(self) -> None:
        """Raise unless Postgres answers (for readiness)."""
        async with self.transaction() as tx:
            await tx.exec_driver_sql("SELECT 1")

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f}ms"


def _note_beginning(_connection: Any, record: Any) -> None:
    record.info[BEGUN_AT] = time.monotonic()


def as_registry_error(error: BaseException) -> RegistryError:
    """The error that a driver's error stands for; what it says goes to the log only."""
    sqlstate = _sqlstate(error)
    structlog.get_logger().warning("database_error", error=type(error).__name__, sqlstate=sqlstate)
    if sqlstate is None:
        return DatabaseUnavailable() if isinstance(error, LOST) else DatabaseFailed()
    if any(isinstance(cause, asyncpg.InvalidCachedStatementError) for cause in _causes(error)):
        return DatabaseUnavailable()  # a newer schema beside us; the statement is prepared anew next time
    if sqlstate[:2] in RETRY_CLASSES or sqlstate in RETRY_CODES:
        return DatabaseUnavailable()
    if sqlstate[:2] == DATA_EXCEPTION_CLASS:
        return BadRequest("a value cannot be stored")
    return DatabaseFailed()


def _sqlstate(error: BaseException) -> str | None:
    """The SQLSTATE of the error or of what caused it, if Postgres gave one."""
    return next(
        (cause.sqlstate for cause in _causes(error) if isinstance(cause, asyncpg.PostgresError)), None
    )


def _causes(error: BaseException | None) -> Iterator[Any]:
    """The error and what it was made from: SQLAlchemy's, its dialect's, the driver's."""
    while error is not None:
        yield error
        error = getattr(error, "orig", None) or error.__cause__


def driver_dsn(url: str) -> str:
    """The URL for asyncpg, of one for libpq or sqlx; what asyncpg does not know is a server setting."""
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
