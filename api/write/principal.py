"""Who is calling: bearer tokens to one Principal type, and what it may do."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from uuid import UUID

from starlette.requests import Request

from api.write.endpoint import Scope
from api.write.queries import tokens
from api.write.services import Services
from shared.errors import AuthInvalid, AuthRequired, Forbidden
from shared.text import trim

BEARER = "Bearer "


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller. token_id: None for a web session. scopes: as stored."""

    user_id: UUID
    handle: str
    token_id: UUID | None
    scopes: tuple[str, ...]
    email_verified: bool

    @property
    def is_admin(self) -> bool:
        """True if the caller may act on what it does not own."""
        return Scope.ADMIN in self.scopes

    def require(self, scope: Scope) -> None:
        """Raise Forbidden without the scope. `admin` does not imply the others."""
        if scope not in self.scopes:
            raise Forbidden(f"missing scope: {scope}")


def secret_hash(secret: str) -> str:
    """What is stored of a token or session: the lower-case hex SHA-256 of the whole string.

    Looking up by hash compares in the time of an index, not of the secret.
    """
    return hashlib.sha256(secret.encode()).hexdigest()


def bearer_token(request: Request) -> str | None:
    """The token of `Authorization: Bearer …`; another scheme or an empty rest counts as none."""
    value = request.headers.get("authorization", "")
    return (trim(value.removeprefix(BEARER)) or None) if value.startswith(BEARER) else None


async def authenticate_token(services: Services, request: Request, scope: Scope | None) -> Principal:
    """The caller behind the bearer token. Raises AuthRequired, AuthInvalid, Forbidden."""
    token = bearer_token(request)
    if token is None:
        raise AuthRequired
    async with services.database.transaction() as tx:
        row = await tokens.by_hash(tx, secret_hash(token))
    if row is None:
        raise AuthInvalid
    if row.revoked_at is not None:
        raise AuthInvalid("token revoked")
    principal = Principal(row.user_id, row.handle, row.token_id, tuple(row.scopes), row.github_email_verified)
    if scope is not None:
        principal.require(scope)
    services.last_used.record(row.token_id)
    return principal
