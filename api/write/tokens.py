"""API tokens: made, listed and revoked (contract, 5.1 and 5.9 to 5.11). Checking them: principal.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import structlog

from api.write.credentials import secret_hash
from api.write.endpoint import Scope
from api.write.principal import Principal
from api.write.queries import audit, tokens
from api.write.services import Services
from shared.errors import Forbidden, NotFound, ScopeInvalid, TokenGenerationFailed
from shared.text import rust_quote, trim

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class CreatedToken:
    """A new token. secret: its plaintext, told once and stored nowhere. scopes: sorted."""

    id: UUID
    secret: str = field(repr=False)
    scopes: tuple[Scope, ...]


def grantable_scopes(caller: Principal, requested: Sequence[str]) -> tuple[Scope, ...]:
    """The scopes of a new token: sorted and unique, `publish` when none is named.

    Raises ScopeInvalid for one that does not exist, Forbidden for one that the caller does not hold
    (an admin may grant any).
    """
    known = {scope.value: scope for scope in Scope}
    for name in requested:
        if name not in known:
            raise ScopeInvalid(f"invalid scope: {rust_quote(name)}")
    scopes = tuple(sorted({known[name] for name in requested})) or (Scope.PUBLISH,)
    for scope in scopes:
        if scope not in caller.scopes and not caller.is_admin:
            raise Forbidden(f"cannot grant scope: {scope}")
    return scopes


async def create_token(
    services: Services, caller: Principal, label: str, requested: Sequence[str], secret: str
) -> CreatedToken:
    """Make a token for the caller. secret: fresh, of new_secret().

    Raises ScopeInvalid, Forbidden, and TokenGenerationFailed when the secret exists already, which
    256 random bits do not do twice.
    """
    scopes, label = grantable_scopes(caller, requested), trim(label)
    async with services.database.transaction() as tx:
        token_id = await tokens.add(
            tx, caller.user_id, token_hash=secret_hash(secret), label=label, scopes=scopes
        )
        if token_id is None:
            raise TokenGenerationFailed
        await audit.record(
            tx,
            "token_created",
            user_id=caller.user_id,
            token_id=caller.token_id,
            details={"label": label, "scopes": list(scopes), "token_id": str(token_id)},
        )
    log.info("token_created", token_id=str(token_id), user_id=str(caller.user_id), scopes=list(scopes))
    return CreatedToken(token_id, secret, scopes)


async def tokens_of(services: Services, caller: Principal) -> list[tokens.OwnedToken]:
    """The caller's own tokens, newest first; an admin too sees no others."""
    async with services.database.transaction() as tx:
        return await tokens.of_user(tx, caller.user_id)


async def revoke_token(services: Services, caller: Principal, token_id: UUID) -> None:
    """Revoke a token of the caller, or of anybody for an admin. Raises NotFound.

    Every call is recorded, the first alone changes the token.
    """
    async with services.database.transaction() as tx:
        owner = await tokens.owner_of(tx, token_id)
        if owner is None or (owner != caller.user_id and not caller.is_admin):
            raise NotFound
        await tokens.revoke(tx, token_id)
        await audit.record(
            tx,
            "token_revoked",
            user_id=caller.user_id,
            token_id=caller.token_id,
            details={"token_id": str(token_id)},
        )
    log.info("token_revoked", token_id=str(token_id), user_id=str(caller.user_id))
