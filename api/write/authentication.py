"""Authentication: turns a bearer token or a session cookie into a Principal (contract, 1.6)."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request

from api.write.credentials import (
    SESSION_COOKIE,
    bearer_token,
    cookie_values,
    secret_hash,
    unusable_authorization,
)
from api.write.csrf import require_csrf
from api.write.endpoint import Auth, Demand
from api.write.principal import Principal
from api.write.services import Services
from api.write.sessions import current_session, session_scopes
from api.write.token_limits import TokenLimits
from shared.credential_errors import AuthExpired, AuthInvalid, AuthRequired
from shared.timestamps import render_timestamp

NO_CREDENTIAL: Final = (
    f"missing credential; send Authorization: Bearer and a token, or the {SESSION_COOKIE} cookie"
)


async def authenticate(services: Services, request: Request, endpoint: Demand) -> Principal:
    """The caller, authenticated as the endpoint declares. A bad token never falls back to the cookie.

    Raises AuthRequired, AuthInvalid, AuthExpired and Forbidden. For a write with a cookie it also raises the
    errors of require_csrf.
    """
    if endpoint.auth is Auth.EITHER and bearer_token(request) is None:
        if not cookie_values(request, SESSION_COOKIE):
            raise AuthRequired(unusable_authorization(request) or NO_CREDENTIAL)
        return await _from_cookie(services, request, endpoint)
    takes_cookie = endpoint.auth is Auth.SESSION
    return await (_from_cookie if takes_cookie else _from_token)(services, request, endpoint)


async def _from_token(services: Services, request: Request, endpoint: Demand) -> Principal:
    token = bearer_token(request)
    if token is None:
        raise AuthRequired(unusable_authorization(request))
    row = await services.known_tokens.by_hash(secret_hash(token))
    if row is None:
        raise AuthInvalid
    if row.revoked_at is not None:
        raise AuthInvalid("token revoked")
    if row.expires_at is not None and row.is_expired:
        raise AuthExpired(f"token expired on {render_timestamp(row.expires_at)}; make a new one")
    principal = Principal(
        row.user_id,
        row.handle,
        row.token_id,
        tuple(row.scopes),
        row.github_email_verified,
        TokenLimits(row.expires_at, row.packages),
        row.provenance,
    )
    if endpoint.scope is not None:
        principal.require(endpoint.scope)
    services.last_used.record(row.token_id)
    return principal


async def _from_cookie(services: Services, request: Request, endpoint: Demand) -> Principal:
    session = await current_session(services, request)
    scopes = session_scopes(services.settings, session.github_user_id)
    principal = Principal(session.user_id, session.handle, None, scopes, session.github_email_verified)
    if endpoint.scope is not None:
        principal.require(endpoint.scope)
    if endpoint.method != "GET":
        require_csrf(request, session.csrf_token, services.settings.cors_origins)
    return principal
