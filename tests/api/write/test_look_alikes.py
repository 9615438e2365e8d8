"""SQL finds the same look-alikes of a new name as Python does, with an index."""

from __future__ import annotations

import json
from pathlib import Path

from sqlalchemy import text

from api.write.new_names import ROUTES, WINDOWS_DEVICES
from api.write.queries.publishes import STANDINGS, Wanted, standings
from shared.names import fold_name
from shared.statements import fetch
from tests.stack import Registry

MANY = """
    INSERT INTO packages (name, created_by)
    SELECT 'many-' || number, :user_id FROM generate_series(1, 20000) AS number
    """


async def test_a_look_alike_is_found_by_an_index(fs_registry: Registry) -> None:
    """The plan of the statement shows it, however many packages there are."""
    user_id, other = await fs_registry.add_user("alice"), await fs_registry.add_user("bob")
    async with fs_registry.database.transaction() as tx:
        await tx.execute(text(MANY), {"user_id": user_id})
        await tx.execute(text("ANALYZE packages"))
        values = (["many_77"], ["0.1.0"], [other], ["0" * 32], ["many-77"])
        lines = [row["QUERY PLAN"] for row in await fetch(tx, f"EXPLAIN {STANDINGS}", *values)]
        assert any("packages_folded_name_idx" in line for line in lines), lines
        assert not any("Seq Scan on packages" in line for line in lines), lines
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
