"""Has Postgres explain every statement of a run as it executes it (auto_explain), and tells who sent it.

Postgres also explains the statements within functions, triggers and foreign keys; they count for the
statement that caused them. Plans are those that were executed: a prepared statement shows its generic plan.
"""

from __future__ import annotations

import ast
import json
import re
import sys
import textwrap
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Final

import asyncpg
import greenlet
from sqlalchemy import Connection, Engine, event

from shared.postgres_connections import Connector

PROJECT: Final = Path(__file__).parent.parent
QUERY_MODULES: Final = ("indexer/queries/", "api/write/queries/")
EXPLAIN: Final = """
    LOAD 'auto_explain';
    SET auto_explain.log_min_duration = 0;
    SET auto_explain.log_analyze = on;
    SET auto_explain.log_timing = off;
    SET auto_explain.log_nested_statements = on;
    SET auto_explain.log_format = json;
    SET auto_explain.log_level = notice
"""
NOBODY: Final = "a test"
SENDER: Final = re.compile(r"/\* (?P<sender>[^*]+) \*/")


@dataclass
class Reads:
    """What the query functions of a run read, by function, like `indexer/queries/tree.py:name_at`.

    rows: the most rows that one node of a plan read. nodes: a description of that node. scans: the tables
    that a plan scans sequentially. senders: the functions that were called from elsewhere. called: those that
    the senders called, too.
    """

    rows: dict[str, int] = field(default_factory=dict)
    nodes: dict[str, str] = field(default_factory=dict)
    scans: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    called: set[str] = field(default_factory=set)
    senders: set[str] = field(default_factory=set)

    def note(self, function: str, statement: str, plan: dict[str, Any]) -> None:
        """Note what a plan read for a function, with that statement or with one within it."""
        self.rows.setdefault(function, 0)
        for rows, node in _nodes(plan):
            if rows >= self.rows[function]:
                self.rows[function], self.nodes[function] = rows, f"{node} for {_shortened(statement)}"
        self.scans[function].update(_scanned(plan))

    def over(self, limit: int) -> dict[str, str]:
        """The functions with a statement that read more rows than limit, and what read them."""
        return {
            function: f"{rows:,} rows by {self.nodes[function]}"
            for function, rows in sorted(self.rows.items())
            if rows > limit
        }

    def scanning(self, tables: set[str]) -> dict[str, str]:
        """The functions with a statement that scans some of these tables sequentially, and which."""
        return {
            function: f"scans {', '.join(sorted(found))}"
            for function, scanned in sorted(self.scans.items())
            if (found := scanned & tables)
        }

    def missed(self, functions: Iterable[str]) -> list[str]:
        """Those of the functions that the run did not call, and senders none of whose plans was seen."""
        return sorted((set(functions) - self.called) | (self.senders - self.rows.keys()))


def all_query_functions() -> list[str]:
    """The query functions of all modules, like `indexer/queries/tree.py:name_at`."""
    paths = (path for folder in QUERY_MODULES for path in sorted((PROJECT / folder).glob("*.py")))
    return [function for path in paths for function in query_functions(str(path.relative_to(PROJECT)))]


def query_functions(module: str) -> list[str]:
    """The public functions of a query module that send statements."""
    tree = ast.parse((PROJECT / module).read_text())
    return [
        f"{module}:{node.name}"
        for node in tree.body
        if isinstance(node, ast.AsyncFunctionDef) and not node.name.startswith("_")
    ]


@contextmanager
def watching_reads() -> Iterator[Reads]:
    """Explain every statement over connections that our code opens while the block runs."""
    reads = Reads()
    with _explaining(reads), _naming_senders(reads), _naming_senders_of_driver(reads):
        yield reads


@contextmanager
def _explaining(reads: Reads) -> Iterator[None]:
    """Have new connections explain, and note what they tell."""
    connect = Connector.connect

    async def explained(connector: Connector) -> asyncpg.Connection[asyncpg.Record]:
        connection = await connect(connector)
        await connection.execute(EXPLAIN)
        within: list[tuple[str, dict[str, Any]]] = []

        def listen(_connection: Any, message: Any) -> None:
            told = json.loads(message.message.partition("plan:\n")[2])
            within.append((told["Query Text"], told["Plan"]))
            if found := SENDER.match(told["Query Text"]):
                # The statements within a statement end before it.
                for statement, plan in within if found["sender"] != NOBODY else ():
                    reads.note(found["sender"], statement, plan)
                within.clear()

        connection.add_log_listener(listen)
        return connection

    Connector.connect = explained  # type: ignore[method-assign]
    try:
        yield
    finally:
        Connector.connect = connect  # type: ignore[method-assign]


@contextmanager
def _naming_senders(reads: Reads) -> Iterator[None]:
    """Name the sender in each statement over SQLAlchemy."""

    def name(
        _connection: Connection, _cursor: Any, statement: str, parameters: Any, _context: Any, _is_many: bool
    ) -> tuple[str, Any]:
        return _named(statement, reads), parameters

    event.listen(Engine, "before_cursor_execute", name, retval=True)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", name)


@contextmanager
def _naming_senders_of_driver(reads: Reads) -> Iterator[None]:
    """Name the sender in each statement over the driver's own connection (shared/statements.py)."""
    fetch = asyncpg.Connection.fetch

    async def named(connection: Any, statement: str, *values: Any, **options: Any) -> Any:
        return await fetch(connection, _named(statement, reads), *values, **options)

    asyncpg.Connection.fetch = named
    try:
        yield
    finally:
        asyncpg.Connection.fetch = fetch


def _named(statement: str, reads: Reads) -> str:
    functions = list(_query_functions_of_stack())
    reads.called.update(functions)
    reads.senders.update(functions[-1:])
    return f"/* {functions[-1] if functions else NOBODY} */ {statement}"


def _query_functions_of_stack() -> Iterator[str]:
    """The functions of query modules on the stack, the outermost last."""
    for frame in _frames():
        path = frame.f_code.co_filename.removeprefix(f"{PROJECT}/")
        if path.startswith(QUERY_MODULES) and not frame.f_code.co_name.startswith(("_", "<")):
            yield f"{path}:{frame.f_code.co_name}"


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


def _shortened(statement: str) -> str:
    return textwrap.shorten(SENDER.sub("", statement), 120)


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
        yield from _nodes(inner)


def _scanned(plan: dict[str, Any]) -> Iterator[str]:
    """The tables that a plan scans sequentially, if it needs them or not."""
    if plan["Node Type"] == "Seq Scan":
        yield plan["Relation Name"]
    for inner in plan.get("Plans", ()):
        yield from _scanned(inner)
