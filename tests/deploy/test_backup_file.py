"""`backup` and `restore`: the file, the programs, and what is refused without any change."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from deploy.backup.connection import connection_to
from deploy.backup.programs import dump_program, newest
from deploy.errors import CommandFailed
from deploy.local.postgres import EmbeddedPostgres
from tests.conftest import command
from tests.deploy.forked_commands import run

EMPTY = "empty_for_a_restore"


@pytest.fixture
def old_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, first on PATH, with programs of Postgres 15 like those of Debian 12."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("pg_dump", "pg_restore"):
        program = folder / name
        program.write_text("#!/bin/sh\necho '(PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)'\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def test_pg_dump_is_as_new_as_the_server(old_programs: Path) -> None:
    """An older one refuses to run. The first on PATH is preferred, because it speaks TLS."""
    assert dump_program(15) == old_programs / "pg_dump"
    assert dump_program(18).parent.name == "bin"
    assert dump_program(18) != old_programs / "pg_dump"
    assert newest("pg_restore") != old_programs / "pg_restore"
    with pytest.raises(CommandFailed, match=r"Postgres 99 needs .* those here are of 15, 18; install"):
        dump_program(99)


@pytest.mark.parametrize(
    ("url", "told", "password"),
    [
        ("postgres://u:p%40ss@h:5433/db", "postgres://u@h:5433/db", "p@ss"),
        ("postgres://u@a:1,b:2/db?sslmode=require", "postgres://u@a:1,b:2/db?sslmode=require", None),
        ("postgres://u@localhost/db?host=/run/pg", "postgres://u@/db?host=%2Frun%2Fpg", None),
        ("postgres://h/db?password=s&ssl-mode=require", "postgres://h/db?sslmode=require", "s"),
        (
            "postgres://h/db?options[application_name]=a b&statement-cache-capacity=0",
            "postgres://h/db?options=-c%20application_name%3Da%5C%20b",
            None,
        ),
    ],
)
def test_programs_reach_the_database_of_the_settings(
    url: str, told: str, password: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A URL of sqlx becomes one of libpq; the password is in the environment, not among the arguments."""
    monkeypatch.delenv("PGPASSWORD", raising=False)
    connection = connection_to(url)
    assert (connection.url, connection.environment.get("PGPASSWORD")) == (told, password)


@pytest_asyncio.fixture
async def empty(postgres: EmbeddedPostgres) -> AsyncIterator[str]:
    """The URL of an empty database."""
    await command(postgres.url, f"CREATE DATABASE {EMPTY}")
    yield postgres.url_of(EMPTY)
    await command(postgres.url, f"DROP DATABASE {EMPTY} WITH (FORCE)")


async def test_a_file_is_complete_or_not_there(
    new_database: Callable[[], Awaitable[str]], empty: str, tmp_path: Path
) -> None:
    """A failed backup keeps the file of yesterday; a damaged file changes nothing in the database."""
    url, file, damaged = await new_database(), tmp_path / "registry.dump", tmp_path / "damaged.dump"
    backup = partial(run, "backup", str(file), X07_REGISTRY_DATABASE_URL=url)
    assert backup().returncode == 0
    assert (file.stat().st_mode & 0o777, os.listdir(tmp_path)) == (0o600, ["registry.dump"])
    yesterday = file.read_bytes()
    refused = run("backup", str(file), X07_REGISTRY_DATABASE_URL=empty)
    assert (refused.returncode, file.read_bytes()) == (1, yesterday)
    assert refused.stderr == "x07-registry: there is no registry in the schema public\n"
    damaged.write_bytes(yesterday[: len(yesterday) // 2])
    answer = run("restore", str(damaged), X07_REGISTRY_DATABASE_URL=empty)
    assert (answer.returncode, answer.stderr.splitlines()[-1]) == (
        1,
        f"x07-registry: {damaged} was not restored; the database has not changed",
    )
    assert await tables(empty) == 0
    other = {"X07_REGISTRY_DATABASE_SCHEMA": "other", "X07_REGISTRY_DATABASE_URL": empty}
    assert run("restore", str(file), **other).returncode == 1
    assert await tables(empty) == 0
    assert run("restore", str(file), X07_REGISTRY_DATABASE_URL=empty).returncode == 0
    assert await tables(empty) == await tables(url)
    again = run("restore", str(file), X07_REGISTRY_DATABASE_URL=empty)
    assert "the database has a registry already" in again.stderr


async def tables(url: str) -> int:
    """The number of tables."""
    connection = await asyncpg.connect(url)
    try:
        query = "SELECT count(*) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        return int(await connection.fetchval(query))
    finally:
        await connection.close()
