"""SQL finds the same look-alikes of a new name as Python does, with an index."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from sqlalchemy import text

from api.write.new_names import ROUTES, WINDOWS_DEVICES
from api.write.queries.publishes import STANDINGS, Wanted, standings
from shared.names import fold_name
from shared.statements import fetch
from tests.stack import Registry

MANY = """
    WITH added AS (
        INSERT INTO packages (name, created_by)
        SELECT 'many-' || number, :user_id FROM generate_series(1, :count) AS number RETURNING id
    ), owned AS (
        INSERT INTO package_owners (package_id, user_id) SELECT id, :user_id FROM added
    )
    INSERT INTO package_versions (package_id, version, cksum, manifest, published_by)
    SELECT id, '0.1.0', repeat('0', 64), '{}', :user_id FROM added
    """


@pytest.mark.parametrize("count", [1_000, 20_000])
async def test_standing_is_looked_up_by_indexes(fs_registry: Registry, count: int) -> None:
    """The plan of the statement shows it, for few packages and for many."""
    user_id, other = await fs_registry.add_user("alice"), await fs_registry.add_user("bob")
    async with fs_registry.database.transaction() as tx:
        await tx.execute(text(MANY), {"user_id": user_id, "count": count})
        await tx.execute(text("ANALYZE packages, package_owners, package_versions"))
        values = (["many_77"], ["0.1.0"], [other], ["0" * 32], ["many-77"])
        lines = [row["QUERY PLAN"] for row in await fetch(tx, f"EXPLAIN {STANDINGS}", *values)]
        assert any("packages_folded_name_idx" in line for line in lines), lines
        read = [
            line
            for line in lines
            if re.search(r"Seq Scan on (packages|package_owners|package_versions)", line)
        ]
        assert not read, lines
        (standing,) = await standings(tx, [Wanted("many_77", "0.1.0", other, "0" * 32)])
    assert (standing.package_id, standing.look_alike) == (None, "many-77")


def test_no_real_name_is_reserved_or_looks_like_another() -> None:
    """These are published names, whose owners may differ."""
    lines = (Path(__file__).parents[2] / "data" / "manifests.ndjson").read_text().splitlines()
    names = {json.loads(line)["name"] for line in lines}
    assert len(names) > 20
    assert not names & (WINDOWS_DEVICES | ROUTES)
    assert len({fold_name(name) for name in names}) == len(names)


async def test_sql_folds_names_as_python_does(fs_registry: Registry) -> None:
    """A publish folds its name in Python and searches in SQL."""
    for name in ("a", "a-b", "a_b", "a--b", "a-_-b", "-a-", "__a", "a1--2__3", "-", "Foo_Bar"):
        (row,) = await fs_registry.rows(
            """SELECT regexp_replace(lower(CAST(:name AS text) COLLATE "C"), '[-_]+', '-', 'g') AS folded""",
            name=name,
        )
        assert row.folded == fold_name(name), name
