"""Creates the first users and tokens for the command line, where no credential exists yet."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from api.write.credentials import new_token, secret_hash
from api.write.endpoint import Scope
from api.write.queries import audit, tokens
from api.write.queries.owners import user_id_of
from api.write.token_limits import UNLIMITED, TokenLimits, granted
from api.write.tokens import creation_details
from deploy.administration.queries import add_user, first_admin
from deploy.errors import StartFailed
from shared.database import Database
from shared.names import Handle, parse_handle
from shared.settings import Settings
from shared.storage.durable import write_private_file

# No GitHub login begins with an underscore, so nobody can sign in under this handle.
ADMIN = Handle("_admin")
FIRST_LABEL = "first admin"

log = structlog.get_logger()


async def create_token(
    settings: Settings,
    handle: str,
    scopes: Collection[Scope],
    label: str,
    asked: TokenLimits = UNLIMITED,
) -> str:
    """Create a token, and its user if missing. Returns the plaintext, which is stored nowhere.

    Raises InvalidName, UnprocessableBody for an end that cannot be, DatabaseUnavailable, DatabaseFailed.
    """
    limits = granted(UNLIMITED, asked, settings.token_max_days, datetime.now(UTC))
    user, token = parse_handle(handle), new_token()
    database = Database(settings)
    try:
        async with database.transaction() as tx:
            await _add_token(tx, await _find_or_add_user(tx, user), token, scopes, label, limits)
    finally:
        await database.close()
    return token


async def ensure_admin(settings: Settings, token_path: Path, handle: Handle | None = None) -> None:
    """Create the first admin once, with a token for every scope in a file that only this account may read.

    The file is written before the row, so the next start repairs a crash between the two. A file that a
    person removed is not written again if there is, or was, an administrator. handle: of the first admin, if
    there is none yet; None for ADMIN.
    """
    database = Database(settings)
    try:
        async with database.transaction() as tx:
            first = await first_admin(tx)
            token = _stored_token(token_path)
            if token is None and first is None:
                token = new_token()
                write_private_file(token_path, f"{token}\n")
            if token is not None:
                admin_id = first.id if first else await _find_or_add_user(tx, handle or ADMIN)
                await _add_token(tx, admin_id, token, list(Scope), FIRST_LABEL, UNLIMITED)
        if first is not None and handle not in (None, first.handle):
            log.warning("first_admin_kept", handle=first.handle, asked=handle)
    finally:
        await database.close()


async def create_user(tx: AsyncConnection, handle: str) -> bool:
    """Create a user; False if the user exists. Raises InvalidName."""
    user_id = await add_user(tx, parse_handle(handle))
    if user_id is not None:
        details = {"handle": handle}
        await audit.record(tx, "user_created", user_id=user_id, token_id=None, details=details)
    return user_id is not None


async def _find_or_add_user(tx: AsyncConnection, handle: Handle) -> UUID:
    user_id = await add_user(tx, handle) or await user_id_of(tx, handle)
    if user_id is None:
        raise RuntimeError(f"user {handle} was removed meanwhile")
    return user_id


async def _add_token(
    tx: AsyncConnection,
    user_id: UUID,
    token: str,
    scopes: Collection[Scope],
    label: str,
    limits: TokenLimits,
) -> None:
    """Store this token for the user, with an audit event. A token that exists already stays as it is."""
    names = sorted(set(scopes))
    token_id = await tokens.add(
        tx,
        user_id,
        token_hash=secret_hash(token),
        label=label,
        scopes=names,
        expires_at=limits.expires_at,
        packages=limits.packages,
    )
    if token_id is not None:
        details = creation_details(token_id, label, names, limits)
        await audit.record(tx, "token_created", user_id=user_id, token_id=None, details=details)


def _stored_token(path: Path) -> str | None:
    """The token in the file; None without a file. Raises StartFailed when the file is empty."""
    if not path.exists():
        return None
    token = path.read_text().strip()
    if not token:
        raise StartFailed(f"{path} is empty; remove it, or write the admin's token into it")
    return token
