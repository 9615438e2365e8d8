"""Statements in Postgres' own notation ($1, $2 …), for the driver's connection or for SQLAlchemy's.

Statements that run with every publish are written so, and sent by the driver alone: SQLAlchemy's layers cost
four times its processor time (docs/decisions/0044). Commands send the same statements over SQLAlchemy.

Those that look up a list take it as `ARRAY(SELECT unnest($1))`, which hides its length from the planner. For
a list of one, it would otherwise find a plan cheaper than the one for any number, and so plan at every call
(docs/decisions/0057).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

# A row, by the names of its columns, of either library.
Row = Mapping[Any, Any]


class Transaction(AbstractAsyncContextManager[None], Protocol):
    """What we use of asyncpg's transactions. As a context: committed, or rolled back on an exception."""

    async def start(self) -> None:
        """Begin."""

    async def commit(self) -> None:
        """Commit."""

    async def rollback(self) -> None:
        """Roll back."""


Isolation = Literal["READ COMMITTED", "REPEATABLE READ"]


class Driver(Protocol):
    """What we use of asyncpg.Connection, which has no types. It keeps the statements that it prepared."""

    async def fetch(self, query: str, *args: Any) -> Sequence[Row]:
        """The rows that a statement returns. Raises OSError and the driver's errors."""

    def transaction(self, *, isolation: str | None = None) -> Transaction:
        """A transaction that has not begun. isolation: as Isolation has it, in lower case with `_`."""


Connection = Driver | AsyncConnection


async def fetch(connection: Connection, statement: str, *values: Any) -> Sequence[Row]:
    """The rows that a statement returns; none if it is not made to return any."""
    if isinstance(connection, AsyncConnection):
        result = await connection.exec_driver_sql(statement, values)
        return result.mappings().all() if result.returns_rows else ()
    return await connection.fetch(statement, *values)
