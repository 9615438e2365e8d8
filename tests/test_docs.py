"""Documents agree with the code: tables are compared, commands are run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs_tables import DOCS, TABLES, with_table

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("name", TABLES)
def test_a_table_in_the_docs_equals_the_code(name: str) -> None:
    """`make docs-tables` writes it."""
    page = (DOCS / name).read_text()
    assert page == with_table(page, TABLES[name]()), f"docs/{name} is out of date: run `make docs-tables`"


def test_make_help_lists_every_target() -> None:
    """Nobody finds a target without a line of help."""
    makefile = (ROOT / "Makefile").read_text()
    declared = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert declared is not None
    documented = re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE)
    assert sorted(documented) == sorted(declared[1].split())


def test_lock_files_name_no_host() -> None:
    """The machine decides which registry serves a package."""
    for name in ("requirements.lock", "requirements-dev.lock", "requirements-image.lock"):
        text = (ROOT / name).read_text()
        assert "--hash=sha256:" in text
        assert "://" not in text


def test_every_decision_says_what_was_measured() -> None:
    """Half a page: context, choice, measured, consequences."""
    pages = sorted((DOCS / "decisions").glob("*.md"))
    assert pages
    assert len({page.name[:4] for page in pages}) == len(pages), "two decisions have one number"
    for page in pages:
        text = page.read_text().lower()
        assert all(part in text for part in ("context", "choice", "measured", "consequences")), page.name
