"""The first admin and tokens from the command line, in a real database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import select

from api.write.endpoint import Scope
from api.write.principal import secret_hash
from deploy.bootstrap import create_token, ensure_admin
from deploy.errors import StartFailed
from shared.database import Database
from shared.errors import InvalidName
from shared.settings import Settings
from shared.tables import tokens, users


@pytest_asyncio.fixture
async def settings(new_database: Callable[[], Awaitable[str]]) -> Settings:
    """Settings that name an empty database."""
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
    scopes = ["admin", "owner.manage", "publish", "token.manage"]
    assert await rows(settings) == [("admin", secret_hash(token), "first admin", scopes)]
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_crash_after_the_file_and_before_the_row_is_made_good(
    settings: Settings, tmp_path: Path
) -> None:
    """The token in the file works after the next start."""
    path = tmp_path / "token"
    path.write_text("x07t_written_before_the_crash\n")
    await ensure_admin(settings, path)
    assert [row[1] for row in await rows(settings)] == [secret_hash("x07t_written_before_the_crash")]


async def test_a_removed_token_file_stays_removed(settings: Settings, tmp_path: Path) -> None:
    """Who puts the token in a safe does not find a new one beside it."""
    path = tmp_path / "token"
    await ensure_admin(settings, path)
    path.unlink()
    await ensure_admin(settings, path)
    assert not path.exists()
    assert len(await rows(settings)) == 1


async def test_an_empty_token_file_stops_the_start(settings: Settings, tmp_path: Path) -> None:
    """It would be a token that everybody knows."""
    path = tmp_path / "token"
    path.write_text("\n")
    with pytest.raises(StartFailed, match="is empty"):
        await ensure_admin(settings, path)


async def test_a_token_is_made_for_a_new_and_for_a_known_user(settings: Settings) -> None:
    """Scopes are kept sorted and once each; only the hash is stored."""
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
    """The rule for handles holds on the command line too."""
    with pytest.raises(InvalidName):
        await create_token(settings, "Alice", [Scope.PUBLISH], "")
    assert await rows(settings) == []
