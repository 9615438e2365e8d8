"""Remembered versions are those of the rows that were read, whatever was read before."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from indexer.entry import render_line
from indexer.queries.packages import version_row
from indexer.rows import AdvisoryRow, VersionRow
from indexer.version_memory import MANY_VERSIONS, VERSION_BYTES, Facts, VersionMemory
from shared.names import PackageName

NAME = PackageName("hello")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
COLUMNS: dict[str, Any] = {
    "version": "0.0.0",
    "cksum": "0" * 64,
    "yanked": False,
    "manifest_json": '{"description": "It does things."}',
    "signature_kind": "ed25519",
    "signature_key_id": "key",
    "signature_bytes": bytes(64),
    "scale_classes_supported": ["small"],
    "scale_tested": False,
    "scale_test_evidence_ref": None,
    "published_at": NOW,
    "provenance": None,
    "staged": False,
    "upload_id": None,
    "metadata_digest": "0" * 64,
    "line_digest": bytes(32),
}
OTHERS: dict[str, Any] = {
    "cksum": "1" * 64,
    "yanked": True,
    "manifest_json": '{"description": "It does other things."}',
    "signature_key_id": "other",
    "signature_bytes": bytes(63) + b"1",
    "scale_classes_supported": ["large"],
    "scale_tested": True,
    "scale_test_evidence_ref": "https://example.com/",
    "published_at": datetime(2026, 1, 2, tzinfo=UTC),
    "provenance": {"issuer": "i", "repository": "r", "workflow": "w", "commit": "c", "run": "1"},
    "staged": True,
    "upload_id": "1",
    "metadata_digest": None,
    "line_digest": None,
}


def facts_of(count: int, **columns: Any) -> dict[str, Facts]:
    """The facts of this many versions, the first of which has these columns."""
    rows = [{**COLUMNS, "version": f"0.0.{number}"} for number in range(count)]
    rows[0] |= columns
    return {row["version"]: ("hello", tuple(row.values()), ()) for row in rows}


def row_of(facts: Facts) -> VersionRow:
    """A row that nothing is known of."""
    _, values, advisories = facts
    return version_row(dict(zip(COLUMNS, values, strict=True)), advisories)


def rows_of(memory: VersionMemory, facts: Mapping[str, Facts], package_id: UUID) -> tuple[VersionRow, ...]:
    """The rows; their lines have been rendered."""
    rows = memory.rows(package_id, facts, row_of)
    for row in rows:
        render_line(NAME, row)
    return rows


def test_rows_that_are_as_before_are_made_and_rendered_once() -> None:
    """That is what a publish of one more version saves."""
    memory, package_id = VersionMemory(), uuid4()
    before = rows_of(memory, facts_of(MANY_VERSIONS), package_id)
    after = rows_of(memory, facts_of(MANY_VERSIONS + 1), package_id)
    assert all(one is other for one, other in zip(before, after, strict=False))


@pytest.mark.parametrize("column", OTHERS)
def test_a_row_with_another_column_is_made_anew(column: str) -> None:
    """Whoever changed it, and even if no generation tells so."""
    memory, package_id = VersionMemory(), uuid4()
    rows_of(memory, facts_of(MANY_VERSIONS), package_id)
    facts = facts_of(MANY_VERSIONS, **{column: OTHERS[column]})
    fresh = tuple(map(row_of, facts.values()))
    rows = rows_of(memory, facts, package_id)
    assert rows == fresh
    assert render_line(NAME, rows[0]) == render_line(NAME, fresh[0])


def test_a_version_with_another_advisory_is_made_anew() -> None:
    """Advisories are rows of their own."""
    memory, package_id = VersionMemory(), uuid4()
    facts = facts_of(MANY_VERSIONS)
    rows_of(memory, facts, package_id)
    advisory = AdvisoryRow(uuid4(), "broken", "low", "It fails.", "", None, NOW)
    name, values, _ = facts["0.0.0"]
    first, *_ = rows_of(memory, facts | {"0.0.0": (name, values, (advisory,))}, package_id)
    assert first.advisories == (advisory,)
    first, *_ = rows_of(memory, facts, package_id)
    assert first.advisories == ()


def test_packages_that_were_read_long_ago_are_forgotten() -> None:
    """The memory is bounded by bytes, of which manifests may have many."""
    ids, facts = [uuid4(), uuid4(), uuid4()], facts_of(MANY_VERSIONS)
    memory = VersionMemory(2 * MANY_VERSIONS * (VERSION_BYTES + 100))
    before = {package_id: rows_of(memory, facts, package_id) for package_id in ids}
    after = {package_id: rows_of(memory, facts, package_id) for package_id in reversed(ids)}
    assert [before[each][0] is after[each][0] for each in ids] == [False, True, True]
    long = facts_of(MANY_VERSIONS, manifest_json=" " * 10_000_000 + "{}")
    assert rows_of(memory, long, ids[0])[0] is not rows_of(memory, long, ids[0])[0]


def test_packages_with_few_versions_are_not_kept() -> None:
    """Most packages are such, and there is little to save."""
    memory, package_id, facts = VersionMemory(), uuid4(), facts_of(MANY_VERSIONS - 1)
    assert rows_of(memory, facts, package_id)[0] is not rows_of(memory, facts, package_id)[0]
