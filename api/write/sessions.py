"""Web sessions: the cookie, and how sessions begin, are looked up and end (contract, 1.6, 5.1, 5.2)."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request

from api.write.credentials import SESSION_COOKIE, cookie_values, new_secret, secret_hash
from api.write.endpoint import Scope
from api.write.queries import sessions as stored
from api.write.queries.sessions import Session
from api.write.services import Services
from shared.credential_errors import AuthExpired, AuthInvalid, AuthRequired
from shared.settings import Settings

MIN_STORED_TTL_S: Final = 60
# A browser can hold one cookie of the name for the host and one for each domain above it.
MAX_COOKIES: Final = 8
MAX_DOMAINS: Final = MAX_COOKIES - 1
SESSION_SCOPES: Final = (Scope.OWNER_MANAGE, Scope.PUBLISH, Scope.TOKEN_MANAGE)


async def current_session(services: Services, request: Request) -> Session:
    """The session behind the request's cookie. Raises AuthRequired, AuthInvalid, AuthExpired.

    A browser may send several cookies of this name, one for the host and one for each domain above it, for
    example after the setting for the cookie's domain was changed. The newest valid one counts. Sessions of
    different users are refused, because a neighbouring host may have planted one. Expired sessions are
    deleted.
    """
    hashes = _shown_hashes(request)
    async with services.database.transaction() as tx:
        shown = await stored.by_hashes(tx, hashes)
        if expired := [session.id for session in shown if session.is_expired]:
            await stored.remove(tx, expired)
    if not shown:
        raise AuthInvalid("invalid session")
    valid = [session for session in shown if not session.is_expired]
    if not valid:
        raise AuthExpired
    if len({session.user_id for session in valid}) > 1:
        raise AuthInvalid(f"{SESSION_COOKIE} cookies of different users; sign in again")
    services.last_seen.record(valid[0].id)
    return valid[0]


async def optional_session(services: Services, request: Request) -> Session | None:
    """The session behind the request's cookie, or None without a valid one."""
    try:
        return await current_session(services, request)
    except (AuthRequired, AuthInvalid, AuthExpired):
        return None


async def start_session(tx: AsyncConnection, settings: Settings, user_id: UUID) -> str:
    """Create a session of the user and return its secret, which is stored only as a hash.

    The secret is always new: a value from the browser never becomes a session (no session fixation).
    """
    secret = new_secret("x07s_")
    ttl = timedelta(seconds=max(settings.session_ttl_seconds, MIN_STORED_TTL_S))
    await stored.add(tx, user_id, token_hash=secret_hash(secret), csrf_token=new_secret("x07c_"), ttl=ttl)
    return secret


async def end_sessions(services: Services, request: Request, user_id: UUID) -> None:
    """End every session of the user whose cookie the request carries. All its cookies become invalid."""
    hashes = _shown_hashes(request)
    async with services.database.transaction() as tx:
        shown = await stored.by_hashes(tx, hashes)
        await stored.remove(tx, [session.id for session in shown if session.user_id == user_id])


def session_scopes(settings: Settings, github_user_id: int | None) -> tuple[str, ...]:
    """The scopes of a session, sorted. Administrators are looked up in the settings at each call."""
    if github_user_id is not None and github_user_id in settings.admin_github_user_ids:
        return (Scope.ADMIN, *SESSION_SCOPES)
    return SESSION_SCOPES


def session_cookies(settings: Settings, secret: str, request: Request) -> list[str]:
    """The `set-cookie` values that give a session to a browser.

    If the request carries a session cookie, the browser may hold it under another domain; that one is
    cleared.
    """
    cookies = [_cookie(settings, secret, settings.session_ttl_seconds, settings.session_cookie_domain)]
    if cookie_values(request, SESSION_COOKIE):
        cookies += cleared_session_cookies(settings)[1:]
    return cookies


def cleared_session_cookies(settings: Settings) -> list[str]:
    """The `set-cookie` values that clear the session cookie, for the configured domain and for all others.

    The others are: no domain (the host alone), and the public host with each domain above it, except the top
    one. A browser ignores a domain for which the host may not set cookies.
    """
    host = urlsplit(settings.public_base).hostname or ""
    labels = [] if _is_address(host) else host.split(".")
    above = [".".join(labels[start:]) for start in range(len(labels) - 1)][:MAX_DOMAINS]
    domains = dict.fromkeys((settings.session_cookie_domain, None, *above))
    return [_cookie(settings, "", 0, domain) for domain in domains]


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _shown_hashes(request: Request) -> list[str]:
    """The hashes of the cookies' values. Raises AuthRequired; AuthInvalid above MAX_COOKIES values."""
    values = cookie_values(request, SESSION_COOKIE)
    if not values:
        raise AuthRequired(f"missing {SESSION_COOKIE} cookie")
    if len(values) > MAX_COOKIES:
        raise AuthInvalid(f"more than {MAX_COOKIES} {SESSION_COOKIE} cookies")
    return [secret_hash(value) for value in values]


def _cookie(settings: Settings, value: str, max_age_s: int, domain: str | None) -> str:
    scope = f"; Domain={domain}" if domain else ""
    secure = "; Secure" if settings.session_cookie_secure else ""
    attributes = f"Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Lax"
    return f"{SESSION_COOKIE}={value}; {attributes}{scope}{secure}"
