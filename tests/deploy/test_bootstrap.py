"""The first admin and tokens from the command line, in a real database."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import select
from structlog.testing import capture_logs

from api.write.credentials import secret_hash
from api.write.endpoint import Scope
from deploy.bootstrap import ADMIN, create_token, ensure_admin
from deploy.errors import StartFailed
from shared.database import Database
from shared.names import Handle, parse_handle
from shared.publish_errors import InvalidName
from shared.settings import Settings
from shared.tables import tokens, users


@pytest_asyncio.fixture
async def settings(new_database: Callable[[], Awaitable[str]]) -> Settings:
    """Settings with an empty database."""
    return Settings(database_url=await new_database())


async def rows(settings: Settings) -> list[Any]:
    """Handle, hash, label and scopes of every token."""
    database = Database(settings)
    try:
        async with database.transaction() as tx:
            columns = (users.c.handle, tokens.c.token_hash, tokens.c.label, tokens.c.scopes)
            return [tuple(row) for row in await tx.execute(select(*columns).join_from(tokens, users))]
    finally:
        await database.close()


async def test_the_first_admin_gets_one_token_for_everything(settings: Settings, tmp_path: Path) -> None:
    """A second start changes nothing."""
    path = tmp_path / "token"
    for _ in range(2):
        await ensure_admin(settings, path)
    token = path.read_text().strip()
    scopes = ["admin", "owner.manage", "publish", "read", "token.manage", "yank"]
    assert await rows(settings) == [("_admin", secret_hash(token), "first admin", scopes)]
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_crash_after_the_file_and_before_the_row_is_made_good(
    settings: Settings, tmp_path: Path
) -> None:
    """After the next start, the token in the file works."""
    path = tmp_path / "token"
    path.write_text("x07t_written_before_the_crash\n")
    await ensure_admin(settings, path)
    assert [row[1] for row in await rows(settings)] == [secret_hash("x07t_written_before_the_crash")]


# Logins have letters, digits and hyphens; those of enterprises end in one underscore and a short code
# (https://docs.github.com/en/enterprise-cloud@latest/admin/managing-iam/iam-configuration-reference/username-considerations-for-external-authentication).
GITHUB_LOGIN = re.compile(r"[a-z0-9][a-z0-9-]*(_[a-z0-9]+)?")


async def test_no_github_login_is_the_first_admin_s_handle() -> None:
    """Otherwise the person who signs in under a bootstrap account's handle could get the account."""
    assert parse_handle(ADMIN) == ADMIN
    assert not GITHUB_LOGIN.fullmatch(ADMIN)


async def test_the_operator_may_choose_the_first_admin_s_handle(settings: Settings, tmp_path: Path) -> None:
    """Only the first choice counts: another handle later changes nothing and is logged."""
    path = tmp_path / "token"
    await ensure_admin(settings, path, Handle("ops"))
    with capture_logs() as logs:
        await ensure_admin(settings, path, Handle("other"))
        await ensure_admin(settings, path)
    assert [row[0] for row in await rows(settings)] == ["ops"]
    assert [(entry["event"], entry["handle"], entry["asked"]) for entry in logs] == [
        ("first_admin_kept", "ops", "other")
    ]


@pytest.mark.parametrize("has_file", [True, False])
async def test_a_data_directory_of_an_earlier_release_keeps_its_admin(
    has_file: bool, settings: Settings, tmp_path: Path
) -> None:
    """Its handle was `admin`.

    Its token continues to work, in the file or elsewhere, and stays the only one.
    """
    path = tmp_path / "token"
    token = await create_token(settings, "admin", list(Scope), "first admin")
    if has_file:
        path.write_text(f"{token}\n")
    await ensure_admin(settings, path)
    assert [row[:2] for row in await rows(settings)] == [("admin", secret_hash(token))]
    assert path.exists() is has_file


async def test_a_removed_token_file_stays_removed(settings: Settings, tmp_path: Path) -> None:
    """An operator may move the token elsewhere; no new one appears in its place."""
    path = tmp_path / "token"
    await ensure_admin(settings, path)
    path.unlink()
    await ensure_admin(settings, path)
    assert not path.exists()
    assert len(await rows(settings)) == 1


async def test_an_empty_token_file_stops_the_start(settings: Settings, tmp_path: Path) -> None:
    """An empty token would be a token that everybody knows."""
    path = tmp_path / "token"
    path.write_text("\n")
    with pytest.raises(StartFailed, match="is empty"):
        await ensure_admin(settings, path)


async def test_a_token_is_made_for_a_new_and_for_a_known_user(settings: Settings) -> None:
    """Scopes are sorted and unique, and only the hash is stored."""
    made = [await create_token(settings, "alice", [Scope.PUBLISH, Scope.ADMIN, Scope.PUBLISH], "ci")]
    made.append(await create_token(settings, "alice", [Scope.PUBLISH], ""))
    assert sorted(await rows(settings)) == sorted(
        [
            ("alice", secret_hash(made[0]), "ci", ["admin", "publish"]),
            ("alice", secret_hash(made[1]), "", ["publish"]),
        ]
    )
    assert all(token.startswith("x07t_") and len(token) == 69 for token in made)


async def test_a_handle_that_is_none_makes_nothing(settings: Settings) -> None:
    """The rule for handles also applies at the command line."""
    with pytest.raises(InvalidName):
        await create_token(settings, "Alice", [Scope.PUBLISH], "")
    assert await rows(settings) == []
