"""The first users and tokens: what the command line makes where no credential exists yet."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from pathlib import Path
from uuid import UUID

from sqlalchemy import exists, select
from sqlalchemy.dialects.postgresql import Insert
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from api.write.endpoint import Scope
from api.write.principal import secret_hash
from api.write.queries import audit
from deploy.durable import write_private_file
from deploy.errors import StartFailed
from shared.database import Database
from shared.names import Handle, parse_handle
from shared.settings import Settings
from shared.tables import tokens, users

ADMIN = Handle("admin")
FIRST_LABEL = "first admin"
TOKEN_PREFIX = "x07t_"  # noqa: S105 - the form of a token, not one


async def create_token(settings: Settings, handle: str, scopes: Collection[Scope], label: str) -> str:
    """Make a token, and its user when missing; the plaintext, which is kept nowhere.

    Raises InvalidName, DatabaseUnavailable, DatabaseFailed.
    """
    user, token = parse_handle(handle), _new_token()
    database = Database(settings)
    try:
        async with database.transaction() as tx:
            await _add_token(tx, await _add_user(tx, user), token, scopes, label)
    finally:
        await database.close()
    return token


async def ensure_admin(settings: Settings, token_path: Path) -> None:
    """Make the first admin once, with a token for every scope in a file that only we may read.

    The file comes before the row, so a crash between the two is made good by the next start. A file
    that a person removed is not written again while the admin has a token.
    """
    database = Database(settings)
    try:
        async with database.transaction() as tx:
            admin = await _add_user(tx, ADMIN)
            token = _stored_token(token_path)
            if token is None and not await _has_token(tx, admin):
                token = _new_token()
                write_private_file(token_path, f"{token}\n")
            if token is not None:
                await _add_token(tx, admin, token, list(Scope), FIRST_LABEL)
    finally:
        await database.close()


async def create_user(tx: AsyncConnection, handle: str) -> bool:
    """Make a user; False if it exists. Raises InvalidName."""
    made = await tx.execute(_new_user(parse_handle(handle)).returning(users.c.id))
    user_id: UUID | None = made.scalar_one_or_none()
    if user_id is not None:
        details = {"handle": handle}
        await audit.record(tx, "user_created", user_id=user_id, token_id=None, details=details)
    return user_id is not None


def _new_token() -> str:
    """A token of 256 random bits (contract, 5.1)."""
    return TOKEN_PREFIX + secrets.token_hex(32)


async def _add_user(tx: AsyncConnection, handle: Handle) -> UUID:
    """The user of this handle, made when missing (users_handle_key)."""
    await tx.execute(_new_user(handle))
    user_id: UUID = (await tx.execute(select(users.c.id).where(users.c.handle == handle))).scalar_one()
    return user_id


def _new_user(handle: Handle) -> Insert:
    """The statement that makes a user unless the handle is taken (users_handle_key).

    Whoever runs the registry vouches for the user: it may publish without an address that GitHub
    verified. The first sign-in with GitHub puts in what GitHub says.
    """
    return upsert(users).values(handle=handle, github_email_verified=True).on_conflict_do_nothing()


async def _has_token(tx: AsyncConnection, user_id: UUID) -> bool:
    """True if the user has, or had, a token (tokens_user_id_created_at_idx)."""
    found = await tx.execute(select(exists().where(tokens.c.user_id == user_id)))
    return bool(found.scalar_one())


async def _add_token(
    tx: AsyncConnection, user_id: UUID, token: str, scopes: Collection[Scope], label: str
) -> None:
    """Let the token be the user's, with an audit event; nothing if it is known (tokens_token_hash_key)."""
    names = sorted(set(scopes))
    row = {"user_id": user_id, "token_hash": secret_hash(token), "label": label, "scopes": names}
    added = await tx.execute(upsert(tokens).values(row).on_conflict_do_nothing().returning(tokens.c.id))
    token_id = added.scalar_one_or_none()
    if token_id is not None:
        details = {"label": label, "scopes": names, "token_id": str(token_id)}
        await audit.record(tx, "token_created", user_id=user_id, token_id=None, details=details)


def _stored_token(path: Path) -> str | None:
    """The token in the file; None without a file. Raises StartFailed when the file is empty."""
    if not path.exists():
        return None
    token = path.read_text().strip()
    if not token:
        raise StartFailed(f"{path} is empty; remove it, or put the admin's token in it")
    return token
