"""Code and pages cite the contract by section: each citation has a heading in docs/contract.md."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "contract.md"
FOLDERS = ("shared", "indexer", "worker", "api", "deploy", "openapi", "docs", "tests")
CITATION = re.compile(
    r"contract(?:'s)?(?:,| \(|,? section|'s section|'s table \(section)? ?"
    r"(\d+(?:\.\d+)?)((?:(?:,| and| to) \d+\.\d+)*)"
)
NUMBER = re.compile(r"\d+(?:\.\d+)?")


def _citations() -> Iterator[tuple[Path, str]]:
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".md", ".json"} and path != PAGE:
                for match in CITATION.finditer(path.read_text()):
                    for number in NUMBER.findall(match[0]):
                        yield path.relative_to(ROOT), number


def _headings() -> set[str]:
    return set(re.findall(r"^#{2,3} (\d+(?:\.\d+)?)", PAGE.read_text(), re.MULTILINE))


def test_every_section_of_the_contract_that_is_cited_exists() -> None:
    """A reader who follows `contract, 4.1` must find it."""
    headings, cited = _headings(), list(_citations())
    assert len(cited) > 60
    assert [(str(path), number) for path, number in cited if number not in headings] == []
