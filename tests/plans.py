"""Explains every statement of a run with Postgres before executing it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import asyncpg
import greenlet
from sqlalchemy import Connection, Engine, event

PROJECT = Path(__file__).parent.parent
QUERY_MODULES = ("indexer/queries/", "api/write/queries/")
EXPLAINED = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")


@dataclass
class Reads:
    """rows: the most rows that one node of a plan read, by the function that sent the statement.

    nodes: a description of that node, by the same function.
    """

    rows: dict[str, int] = field(default_factory=dict)
    nodes: dict[str, str] = field(default_factory=dict)

    def note(self, function: str, plan: dict[str, Any]) -> None:
        """Note what a plan read for a function."""
        self.rows.setdefault(function, 0)
        for rows, node in _nodes(plan):
            if rows >= self.rows.get(function, 0):
                self.rows[function], self.nodes[function] = rows, node

    def over(self, limit: int, but: frozenset[str]) -> list[str]:
        """The functions, except some, with a statement that read more rows than limit."""
        return [
            f"{function}: {rows:,} rows by {self.nodes[function]}"
            for function, rows in sorted(self.rows.items())
            if rows > limit and function not in but
        ]


@contextmanager
def watching_reads() -> Iterator[Reads]:
    """Explain every statement of a query module, in a savepoint that is rolled back."""
    reads = Reads()
    with _explaining(reads), _explaining_of_driver(reads):
        yield reads


@contextmanager
def _explaining(reads: Reads) -> Iterator[None]:
    """Explain what is sent over SQLAlchemy."""
    explaining = set[int]()

    def explain(
        connection: Connection, _cursor: Any, statement: str, parameters: Any, _context: Any, is_many: bool
    ) -> None:
        function = _sender()
        if function is None or is_many or not statement.lstrip().startswith(EXPLAINED):
            return
        if id(connection) in explaining:
            return
        explaining.add(id(connection))
        try:
            plan = _plan(connection, statement, parameters)
        finally:
            explaining.discard(id(connection))
        reads.note(function, plan)

    event.listen(Engine, "before_cursor_execute", explain)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", explain)


@contextmanager
def _explaining_of_driver(reads: Reads) -> Iterator[None]:
    """Explain what is sent over the driver's own connection (shared/statements.py)."""
    fetch = asyncpg.Connection.fetch

    async def explained(connection: Any, statement: str, *values: Any, **options: Any) -> Any:
        function = _sender()
        if function is not None and statement.lstrip().startswith(EXPLAINED):
            rollback = connection.transaction()
            await rollback.start()
            try:
                plan = await fetch(connection, f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", *values)
            finally:
                await rollback.rollback()
            reads.note(function, _document(plan[0][0]))
        return await fetch(connection, statement, *values, **options)

    asyncpg.Connection.fetch = explained
    try:
        yield
    finally:
        asyncpg.Connection.fetch = fetch


def _sender() -> str | None:
    """The outermost function of a query module on the stack, like `indexer/queries/tree.py:name_at`."""
    found = None
    for frame in _frames():
        path = frame.f_code.co_filename.removeprefix(f"{PROJECT}/")
        if path.startswith(QUERY_MODULES):
            found = f"{path}:{frame.f_code.co_name}"
    return found


def _frames() -> Iterator[FrameType]:
    """The frames of this greenlet and of those that wait for it, as SQLAlchemy runs drivers so."""
    frame: FrameType | None = sys._getframe()
    running = greenlet.getcurrent()
    while frame is not None or running.parent is not None:
        if frame is None:
            running = running.parent
            frame = running.gr_frame
            continue
        yield frame
        frame = frame.f_back


def _plan(connection: Connection, statement: str, parameters: Any) -> dict[str, Any]:
    in_transaction = not connection._is_autocommit_isolation()
    begin, end = ("SAVEPOINT plan", "ROLLBACK TO SAVEPOINT plan") if in_transaction else ("BEGIN", "ROLLBACK")
    cursor = connection.connection.cursor()
    cursor.execute(begin)
    try:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters)
        (found,) = cursor.fetchone() or ()
    finally:
        cursor.execute(end)
        cursor.close()
    return _document(found)


def _document(found: Any) -> dict[str, Any]:
    """The plan in an answer to EXPLAIN."""
    document = json.loads(found) if isinstance(found, str | bytes) else found
    plan: dict[str, Any] = document[0]["Plan"]
    return plan


def _nodes(plan: dict[str, Any]) -> Iterator[tuple[int, str]]:
    """The rows that each scan of a plan read, with a description."""
    if "Scan" in plan["Node Type"]:
        each = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
        each += plan.get("Rows Removed by Index Recheck", 0)
        name = plan.get("Index Name") or plan.get("Relation Name") or plan.get("Function Name", "")
        yield round(each * plan["Actual Loops"]), f"{plan['Node Type']} of {name}"
    if "Join Filter" in plan or "Rows Removed by Join Filter" in plan:
        yield (
            round(plan.get("Rows Removed by Join Filter", 0) * plan["Actual Loops"]),
            f"{plan['Node Type']} that compares {plan.get('Join Filter')}",
        )
    for inner in plan.get("Plans", ()):
        # The scan of the heap counts the rows that are there; the index also has those that were replaced.
        if (plan["Node Type"], inner["Node Type"]) != ("Bitmap Heap Scan", "Bitmap Index Scan"):
            yield from _nodes(inner)
