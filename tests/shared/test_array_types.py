"""What Postgres is not asked about its own types."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from deploy.local.postgres import EmbeddedPostgres
from indexer.pages.publication import publish_pages
from shared.array_types import ARRAYS
from shared.database import Database
from shared.settings import Settings
from shared.statements import fetch
from tests.archives import hello_archive
from tests.conftest import MakeSettings
from tests.log.logs import with_log
from tests.stack import running_registry
from worker.process import open_parts

TYPES = """
SELECT a.oid, a.typelem, a.typdelim, e.typname FROM pg_type a JOIN pg_type e ON e.oid = a.typelem
WHERE a.oid = ANY(CAST($1 AS oid[]))
"""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every statement that the driver sends on connections that are opened during the test."""
    statements: list[str] = []
    connect = asyncpg.connect

    async def overheard(*args: Any, **options: Any) -> Any:
        connection = await connect(*args, **options)
        connection.add_query_logger(lambda record: statements.append(record.query))
        return connection

    monkeypatch.setattr(asyncpg, "connect", overheard)
    return statements


async def test_a_publish_its_publication_and_a_search_ask_for_no_types(
    asked: list[str], make_default_settings: MakeSettings
) -> None:
    """Every connection is new: those of the write API, of the worker, and of who renders pages."""
    settings = with_log(await make_default_settings(sweep_seconds=0.5, catalog_debounce_seconds=0.02))
    async with running_registry(settings) as registry, open_parts(settings) as parts:
        alice = await registry.add_publisher()
        for version in ("0.1.0", "0.2.0"):
            answer = await registry.publish(hello_archive(version=version), alice)
            assert answer.status_code == 200
        await registry.until_in_catalog("hello", "0.2.0")
        await registry.until_row("SELECT 1 FROM log_entries HAVING count(*) >= 2")
        assert await publish_pages(parts)
        assert (await registry.http.get("/v1/search?q=hello")).json()["total"] == 1
    for part in ("log_state", "search_page"):
        assert any(part in statement for statement in asked)
    assert [statement for statement in asked if "pg_type" in statement] == []


async def test_each_array_has_the_number_and_elements_of_pg_type(postgres: EmbeddedPostgres) -> None:
    """Also the delimiter of its text form."""
    database = Database(Settings(database_url=postgres.url))
    async with database.driver() as driver:
        rows = await fetch(driver, TYPES, list(ARRAYS))
    await database.close()
    assert {row["oid"]: (row["typelem"], row["typname"]) for row in rows} == ARRAYS
    assert {row["typdelim"] for row in rows} == {b","}


async def test_a_type_that_is_not_known_is_asked_for(asked: list[str], postgres: EmbeddedPostgres) -> None:
    """Together with one that is."""
    database = Database(Settings(database_url=postgres.url))
    async with database.driver() as driver:
        [row] = await fetch(driver, "SELECT CAST('{1.5,2}' AS numeric[]) AS n, CAST('{7}' AS bigint[]) AS i")
    await database.close()
    assert ([float(number) for number in row["n"]], row["i"]) == ([1.5, 2.0], [7])
    assert any("pg_type" in statement for statement in asked)
