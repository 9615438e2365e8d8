"""docs/security.md: every claim names the tests that prove it, and these exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "security.md").read_text()
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)


def functions_of(path: Path) -> set[str]:
    """The names of the functions that a module defines."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return {node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}


def test_every_test_that_the_page_names_exists() -> None:
    """A renamed or removed test would no longer prove its claim."""
    assert len(NAMED) > 70
    missing = [f"{file}::{name}" for file, name in NAMED if name not in functions_of(ROOT / file)]
    assert missing == []


def test_every_row_of_the_page_names_a_test() -> None:
    """A claim needs a test, unless its row only refers to another page."""
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and "---" not in line]
    headings = [row for row in rows if row.rstrip(" |").endswith("proved by")]
    claims = [row for row in rows if row not in headings and not row.rstrip(" |").endswith("next section")]
    assert len(claims) > 40
    assert [row for row in claims if "::test_" not in row] == []
