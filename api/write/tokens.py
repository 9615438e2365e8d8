"""Creates, lists and revokes API tokens (contract, 5.1 and 5.9 to 5.11). authentication.py checks them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from api.write.credentials import secret_hash
from api.write.endpoint import Scope
from api.write.principal import Principal
from api.write.queries import audit, tokens
from api.write.services import Services
from api.write.token_limits import UNLIMITED, TokenLimits, granted
from shared.credential_errors import ScopeInvalid, TokenGenerationFailed
from shared.errors import Forbidden, NotFound
from shared.text import rust_quote, trim
from shared.timestamps import render_timestamp

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class CreatedToken:
    """A new token. secret: its plaintext, shown once and stored nowhere. scopes: sorted."""

    id: UUID
    secret: str = field(repr=False)
    scopes: tuple[Scope, ...]
    limits: TokenLimits = UNLIMITED


def grantable_scopes(caller: Principal, requested: Sequence[str]) -> tuple[Scope, ...]:
    """The scopes of a new token: sorted and unique, `publish` when none is named.

    Raises ScopeInvalid for a scope that does not exist, Forbidden for one that the caller does not hold
    (an admin may grant any).
    """
    known = {scope.value: scope for scope in Scope}
    for name in requested:
        if name not in known:
            raise ScopeInvalid(f"invalid scope: {rust_quote(name)}")
    scopes = tuple(sorted({known[name] for name in requested})) or (Scope.PUBLISH,)
    for scope in scopes:
        if not caller.holds(scope) and not caller.is_admin:
            raise Forbidden(f"cannot grant scope: {scope}")
    return scopes


async def create_token(
    services: Services,
    caller: Principal,
    label: str,
    requested: Sequence[str],
    secret: str,
    asked: TokenLimits = UNLIMITED,
) -> CreatedToken:
    """Make a token for the caller. secret: of new_token().

    Raises ScopeInvalid, Forbidden, UnprocessableBody for an end that cannot be, and TokenGenerationFailed
    when the secret exists already, which cannot happen with 256 random bits.
    """
    scopes, label = grantable_scopes(caller, requested), trim(label)
    limits = granted(caller.limits, asked, services.settings.token_max_days, datetime.now(UTC))
    async with services.database.transaction() as tx:
        token_id = await _add_token(tx, caller, secret, label, scopes, limits)
    await services.notifier.queue_access()
    log.info("token_created", token_id=str(token_id), user_id=str(caller.user_id), scopes=list(scopes))
    return CreatedToken(token_id, secret, scopes, limits)


async def _add_token(
    tx: AsyncConnection,
    caller: Principal,
    secret: str,
    label: str,
    scopes: Sequence[Scope],
    limits: TokenLimits,
) -> UUID:
    """Insert the token and its audit event. Raises TokenGenerationFailed."""
    token_id = await tokens.add(
        tx,
        caller.user_id,
        token_hash=secret_hash(secret),
        label=label,
        scopes=scopes,
        expires_at=limits.expires_at,
        packages=limits.packages,
    )
    if token_id is None:
        raise TokenGenerationFailed
    await audit.record(
        tx,
        "token_created",
        user_id=caller.user_id,
        token_id=caller.token_id,
        details=creation_details(token_id, label, scopes, limits),
    )
    return token_id


def creation_details(
    token_id: UUID, label: str, scopes: Sequence[str], limits: TokenLimits
) -> dict[str, Any]:
    """The details of a new token in the audit trail (contract, 8.2), with its limits if it has any."""
    details: dict[str, Any] = {"label": label, "scopes": list(scopes), "token_id": str(token_id)}
    if limits.expires_at is not None:
        details["expires_at"] = render_timestamp(limits.expires_at)
    if limits.packages is not None:
        details["packages"] = list(limits.packages)
    return details


async def tokens_of(services: Services, caller: Principal) -> list[tokens.OwnedToken]:
    """The caller's own tokens, newest first, for admins too."""
    async with services.database.transaction() as tx:
        return await tokens.of_user(tx, caller.user_id)


async def revoke_token(services: Services, caller: Principal, token_id: UUID) -> None:
    """Revoke a token of the caller; an admin may revoke any token. Raises NotFound.

    Every call is recorded in the audit log; only the first one changes the token.
    """
    async with services.database.transaction() as tx:
        owner = await tokens.owner_of(tx, token_id)
        if owner is None or (owner != caller.user_id and not caller.is_admin):
            raise NotFound("token not found")
        await tokens.revoke(tx, token_id)
        await audit.record(
            tx,
            "token_revoked",
            user_id=caller.user_id,
            token_id=caller.token_id,
            details={"token_id": str(token_id)},
        )
    await services.notifier.queue_access()
    log.info("token_revoked", token_id=str(token_id), user_id=str(caller.user_id))
