"""The rules of CONTRIBUTING about the places of code that import-linter cannot check."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PARTS = ("api", "indexer", "worker", "shared", "deploy")
# These declare tables, open connections, send statements and change the schema.
BESIDE_QUERIES = ("shared/tables/", "shared/database.py", "shared/statements.py", "deploy/migrations/")
BUILDERS = {"select", "insert", "update", "delete", "text", "exists", "func", "fetch"}


def test_sql_is_in_query_modules_only() -> None:
    """No other module imports builders of statements, or sends SQL as text."""
    found = {path for path in modules() if builds_sql(ast.parse((ROOT / path).read_text()))}
    assert {path for path in found if not is_query_module(path)} == set()


def modules() -> Iterator[str]:
    """Paths of the program's modules."""
    for part in PARTS:
        yield from (str(path.relative_to(ROOT)) for path in (ROOT / part).rglob("*.py"))


def is_query_module(path: str) -> bool:
    """True for `queries/` and `queries.py`, and for the modules that need SQL beside these."""
    return "/queries/" in path or path.endswith("/queries.py") or path.startswith(BESIDE_QUERIES)


def builds_sql(module: ast.Module) -> bool:
    """True if the module imports what builds or sends statements, or calls exec_driver_sql."""
    nodes = list(ast.walk(module))
    imports = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    sources = [
        node for node in imports if (node.module or "").startswith(("sqlalchemy", "shared.statements"))
    ]
    imported = {alias.name for node in sources for alias in node.names}
    called = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return bool(imported & BUILDERS) or "exec_driver_sql" in called
