"""Postgres plans the statements of a publish once on each connection, and keeps the plans."""

from __future__ import annotations

from typing import Final

from api.write.queries.publishes import Wanted, standings
from api.write.queries.tokens import by_hashes
from indexer.queries.marks import mark
from indexer.queries.packages import lock_states
from shared.statements import Driver, fetch
from tests.archives import hello_archive
from tests.stack import Registry

# Postgres plans a statement for its values five times before it compares with a plan for any values.
PLANNED: Final = 5
CALLS: Final = 10

PLANS = """
    SELECT statement, custom_plans, generic_plans FROM pg_prepared_statements
    WHERE custom_plans + generic_plans >= $1
"""


async def test_statements_of_a_publish_are_not_planned_at_each_call(workerless_registry: Registry) -> None:
    """The plan for a list of one looks no better than the plan for any list."""
    registry = workerless_registry
    await registry.publish(hello_archive(), await registry.add_publisher())
    user_id = await registry.add_user("bob")
    async with registry.database.driver_transaction() as tx:
        for _ in range(CALLS):
            await by_hashes(tx, ["0" * 64])
            await standings(tx, [Wanted("hello", "0.2.0", user_id, "0" * 32)])
            [state] = await lock_states(tx, ["hello"], "official")
            assert state.is_locked
            await mark(tx, [], is_logging=True, has_pages=True)
        planned = await _planned(tx)
    assert len(planned) == 4
    assert [statement for statement, plans in planned.items() if plans != PLANNED] == []


async def _planned(tx: Driver) -> dict[str, int]:
    """How often Postgres planned each statement of this connection that was called so often."""
    return {row["statement"]: row["custom_plans"] for row in await fetch(tx, PLANS, CALLS)}
