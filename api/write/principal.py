"""Who is calling: bearer token or session cookie to one Principal, and what it may do (contract, 1.6)."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from starlette.requests import Request

from api.write.credentials import bearer_token
from api.write.credentials import secret_hash as secret_hash
from api.write.csrf import require_csrf
from api.write.endpoint import Auth, Endpoint, Scope
from api.write.services import Services
from api.write.sessions import current_session, session_scopes
from shared.errors import AuthInvalid, AuthRequired, Forbidden


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller. Of token_id and session_id one is None. scopes: of a token as stored."""

    user_id: UUID
    handle: str
    token_id: UUID | None
    scopes: tuple[str, ...]
    email_verified: bool
    session_id: UUID | None = None

    @property
    def is_admin(self) -> bool:
        """True if the caller may act on what it does not own."""
        return Scope.ADMIN in self.scopes

    def require(self, scope: Scope) -> None:
        """Raise Forbidden without the scope. `admin` does not imply the others."""
        if scope not in self.scopes:
            raise Forbidden(f"missing scope: {scope}")


async def authenticate(services: Services, request: Request, endpoint: Endpoint) -> Principal:
    """The caller that the endpoint's declaration asks for; a bad token never falls back to the cookie.

    Raises AuthRequired, AuthInvalid, AuthExpired (cookie), Forbidden, and for a cookie that would
    change something the errors of require_csrf.
    """
    takes_cookie = endpoint.auth is Auth.SESSION or (
        endpoint.auth is Auth.EITHER and bearer_token(request) is None
    )
    return await (_from_cookie if takes_cookie else _from_token)(services, request, endpoint)


async def _from_token(services: Services, request: Request, endpoint: Endpoint) -> Principal:
    token = bearer_token(request)
    if token is None:
        raise AuthRequired
    row = await services.known_tokens.by_hash(secret_hash(token))
    if row is None:
        raise AuthInvalid
    if row.revoked_at is not None:
        raise AuthInvalid("token revoked")
    principal = Principal(row.user_id, row.handle, row.token_id, tuple(row.scopes), row.github_email_verified)
    if endpoint.scope is not None:
        principal.require(endpoint.scope)
    services.last_used.record(row.token_id)
    return principal


async def _from_cookie(services: Services, request: Request, endpoint: Endpoint) -> Principal:
    session = await current_session(services, request)
    scopes = session_scopes(services.settings, session.github_user_id)
    principal = Principal(
        session.user_id, session.handle, None, scopes, session.github_email_verified, session.id
    )
    if endpoint.scope is not None:
        principal.require(endpoint.scope)
    if endpoint.method != "GET":
        require_csrf(request, session.csrf_token, services.settings.cors_origins)
    return principal
