"""The worker removes expired sessions and sign-in attempts."""

from __future__ import annotations

import asyncio

import pytest

from indexer.queries.expiry import remove_expired
from tests.stack import Registry
from worker.process import run as run_worker

EXPIRING = """
WITH octo AS (INSERT INTO users (handle) VALUES ('octo') RETURNING id),
     ends (name, at) AS (VALUES ('over', now() - interval '1 second'), ('on', now() + interval '1 hour')),
     states AS (INSERT INTO oauth_states (state, next_url, expires_at) SELECT name, '/', at FROM ends)
INSERT INTO web_sessions (user_id, session_token_hash, csrf_token, expires_at)
SELECT octo.id, name, 'x07c_', at FROM octo, ends RETURNING 1
"""
LEFT = "SELECT session_token_hash AS left FROM web_sessions UNION ALL SELECT state FROM oauth_states"

NONE_EXPIRED = """
SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM web_sessions WHERE expires_at <= now())
    AND NOT EXISTS (SELECT 1 FROM oauth_states WHERE expires_at <= now())
"""


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_what_expired_is_removed_and_the_rest_stays(workerless_registry: Registry) -> None:
    """The secrets of an attempt are deleted with it; the counts are for the log."""
    await workerless_registry.rows(EXPIRING)
    await workerless_registry.rows(
        "INSERT INTO oauth_state_secrets SELECT state, 'verifier', 'hash' FROM oauth_states RETURNING 1"
    )
    async with workerless_registry.database.transaction() as tx:
        assert await remove_expired(tx) == (1, 1)
        assert await remove_expired(tx) == (0, 0)
    assert [row.left for row in await workerless_registry.rows(LEFT)] == ["on", "on"]
    secrets = await workerless_registry.rows("SELECT state FROM oauth_state_secrets")
    assert [row.state for row in secrets] == ["on"]


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_a_worker_removes_what_expired_when_it_starts(workerless_registry: Registry) -> None:
    """It repeats this at intervals, so that sessions are removed without being used."""
    await workerless_registry.rows(EXPIRING)
    worker = asyncio.create_task(run_worker(workerless_registry.settings))
    try:
        await workerless_registry.until_row(NONE_EXPIRED)
    finally:
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
    assert {row.left for row in await workerless_registry.rows(LEFT)} == {"on"}
