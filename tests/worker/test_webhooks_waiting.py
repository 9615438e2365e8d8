"""What waits for a dead receiver is not read again for each event of others."""

from __future__ import annotations

from indexer.queries import webhooks
from tests.archives import hello_archive
from tests.conftest import MakeSettings
from tests.plans import watching_reads
from tests.stack import Registry, running_registry

MISSED = 2000
MOST_ROWS = 100
ADD_HOOKS = """
    INSERT INTO webhooks (user_id, url, events, secret)
    SELECT id, 'https://hooks.example/', '{version.yanked}', 'whsec_' FROM users, generate_series(1, 5)
    RETURNING id
"""
MISS = """
    WITH missed AS (
        INSERT INTO webhook_events (package_id, generation, type, data)
        SELECT id, 1, 'version.yanked', '{}' FROM packages, generate_series(1, :missed)
        RETURNING id, package_id
    )
    INSERT INTO webhook_deliveries (event_id, hook_id, package_id)
    SELECT missed.id, webhooks.id, package_id FROM missed, webhooks RETURNING 1
"""
PUT_OFF = """
    UPDATE webhook_deliveries SET due_at = now() + interval '1 hour'
    WHERE event_id = (SELECT min(event_id) FROM webhook_deliveries) RETURNING 1
"""


async def test_a_dead_receiver_costs_no_reading_of_what_it_missed(
    make_default_settings: MakeSettings,
) -> None:
    """Webhooks of one user missed thousands of changes; each is found by its first one alone."""
    settings = await make_default_settings(publish_wait_seconds=0)
    with watching_reads() as reads:
        async with running_registry(settings, with_worker=False) as registry:
            await _miss_and_take(registry)
    assert {"indexer/queries/webhooks.py:hooks_due", "indexer/queries/webhooks.py:take"} <= reads.rows.keys()
    assert reads.over(MOST_ROWS) == {}


async def _miss_and_take(registry: Registry) -> None:
    await registry.publish(hello_archive(), await registry.add_publisher())
    await registry.rows("UPDATE index_state SET published_generation = generation RETURNING 1")
    hooks = [row.id for row in await registry.rows(ADD_HOOKS)]
    await registry.rows(MISS, missed=MISSED)
    await registry.rows(PUT_OFF)
    async with registry.database.reading() as connection:
        await connection.exec_driver_sql("ANALYZE webhook_deliveries, webhook_events, webhooks")
        assert await webhooks.hooks_due(connection) == []
        assert await webhooks.take(connection, hooks[0], 8, 30.0) == []
        await registry.rows("UPDATE webhook_deliveries SET due_at = now() RETURNING 1")
        assert set(await webhooks.hooks_due(connection)) == set(hooks)
        (taken,) = await webhooks.take(connection, hooks[0], 8, 30.0)
        assert set(await webhooks.hooks_due(connection)) == {*hooks[1:]}
    assert taken.attempts == 1
