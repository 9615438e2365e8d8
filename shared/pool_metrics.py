"""Metrics of a process's connections to Postgres."""

from __future__ import annotations

from typing import Final

from prometheus_client import Gauge

from shared.database import Database

CONNECTIONS: Final = Gauge(
    "x07_database_pool_connections",
    "Connections of this process to Postgres, by state: `in_use` or `idle`.",
    ["state"],
)
LIMIT: Final = Gauge("x07_database_pool_limit", "Most connections to Postgres that this process may open.")


async def collect_pool_use(database: Database) -> None:
    """Update the gauges."""
    use = database.pool_use()
    CONNECTIONS.labels("in_use").set(use.in_use)
    CONNECTIONS.labels("idle").set(use.idle)
    LIMIT.set(use.limit)
