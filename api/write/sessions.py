"""Web sessions: the cookie's form, how one starts, is found and ends (contract, 1.6, 5.1, 5.2)."""

from __future__ import annotations

from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request

from api.write.credentials import SESSION_COOKIE, cookie_values, new_secret, secret_hash
from api.write.endpoint import Scope
from api.write.queries import sessions as stored
from api.write.queries.sessions import Session
from api.write.services import Services
from shared.errors import AuthExpired, AuthInvalid, AuthRequired
from shared.settings import Settings

MIN_STORED_TTL_S: Final = 60
SESSION_SCOPES: Final = (Scope.OWNER_MANAGE, Scope.PUBLISH, Scope.TOKEN_MANAGE)


async def current_session(services: Services, request: Request) -> Session:
    """The session behind the request's cookie. Raises AuthRequired, AuthInvalid, AuthExpired.

    An expired one is removed.
    """
    secret = _shown_secret(request)
    async with services.database.transaction() as tx:
        session = await stored.by_hash(tx, secret_hash(secret))
        if session is not None and session.is_expired:
            await stored.remove(tx, session.id)
    if session is None:
        raise AuthInvalid("invalid session")
    if session.is_expired:
        raise AuthExpired
    services.last_seen.record(session.id)
    return session


async def optional_session(services: Services, request: Request) -> Session | None:
    """The session behind the request's cookie, None without one that works."""
    try:
        return await current_session(services, request)
    except (AuthRequired, AuthInvalid, AuthExpired):
        return None


async def start_session(tx: AsyncConnection, settings: Settings, user_id: UUID) -> str:
    """Begin a session of the user; its secret, which is stored only as a hash.

    The secret is always new: what a browser brought along never becomes a session.
    """
    secret = new_secret("x07s_")
    ttl = timedelta(seconds=max(settings.session_ttl_seconds, MIN_STORED_TTL_S))
    await stored.add(tx, user_id, token_hash=secret_hash(secret), csrf_token=new_secret("x07c_"), ttl=ttl)
    return secret


async def end_session(services: Services, session_id: UUID) -> None:
    """End a session; its cookie is worth nothing from here on."""
    async with services.database.transaction() as tx:
        await stored.remove(tx, session_id)


def session_scopes(settings: Settings, github_user_id: int | None) -> tuple[str, ...]:
    """What a session may do, sorted. Who is an administrator is asked of the settings, each time."""
    if github_user_id is not None and github_user_id in settings.admin_github_user_ids:
        return (Scope.ADMIN, *SESSION_SCOPES)
    return SESSION_SCOPES


def session_cookie(settings: Settings, secret: str) -> str:
    """The `set-cookie` value that hands a session to a browser."""
    return _cookie(settings, secret, settings.session_ttl_seconds)


def cleared_session_cookie(settings: Settings) -> str:
    """The `set-cookie` value that takes it back."""
    return _cookie(settings, "", 0)


def _shown_secret(request: Request) -> str:
    """The cookie's value. Raises AuthRequired; AuthInvalid for two different ones.

    One of two may have been planted from a neighbouring host, and which is not ours to guess.
    """
    values = cookie_values(request, SESSION_COOKIE)
    if not values:
        raise AuthRequired(f"missing {SESSION_COOKIE} cookie")
    if len(values) > 1:
        raise AuthInvalid(f"more than one {SESSION_COOKIE} cookie")
    return next(iter(values))


def _cookie(settings: Settings, value: str, max_age_s: int) -> str:
    domain = f"; Domain={settings.session_cookie_domain}" if settings.session_cookie_domain else ""
    secure = "; Secure" if settings.session_cookie_secure else ""
    attributes = f"Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Lax"
    return f"{SESSION_COOKIE}={value}; {attributes}{domain}{secure}"
