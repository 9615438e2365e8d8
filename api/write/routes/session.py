"""The web session: GET /v1/auth/session, POST /v1/auth/logout."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from api.write.credentials import with_cookies
from api.write.endpoint import Auth, Endpoints, Scope
from api.write.json_body import json_response
from api.write.principal import Principal
from api.write.queries.sessions import Session
from api.write.services import services_of
from api.write.sessions import (
    cleared_session_cookies,
    end_sessions,
    optional_session,
    session_scopes,
)
from shared.text import lower_ascii, trim

NO_STORE = {"cache-control": "no-store"}

route = Endpoints()


class SessionUser(msgspec.Struct, frozen=True, kw_only=True):
    """The signed-in user, and the scopes of the session.

    github_login: trimmed, lower-case. email: a verified address, or null.
    """

    id: str
    handle: str
    github_user_id: int | None
    github_login: str | None
    avatar_url: str | None
    profile_url: str | None
    email: str | None
    email_verified: bool
    email_primary: bool
    is_admin: bool
    scopes: tuple[str, ...]


class SessionResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the session. csrf_token: writes send it in the header `x-x07-csrf`."""

    ok: bool = True
    authenticated: bool
    csrf_token: str | UnsetType = UNSET
    user: SessionUser | UnsetType = UNSET


@route.get("/v1/auth/session", response=SessionResponse, headers=("cache-control",), may_have_session=True)
async def session(request: Request) -> Response:
    """The session of the browser. Never 401: without a valid session the answer says so."""
    services = services_of(request)
    found = await optional_session(services, request)
    if found is None:
        return json_response(SessionResponse(authenticated=False), headers=NO_STORE)
    scopes = session_scopes(services.settings, found.github_user_id)
    body = SessionResponse(authenticated=True, csrf_token=found.csrf_token, user=_user(found, scopes))
    return json_response(body, headers=NO_STORE)


@route.post("/v1/auth/logout", auth=Auth.SESSION, status=204, headers=("set-cookie",))
async def logout(request: Request, caller: Principal) -> Response:
    """End the session and clear its cookie, for whichever domain the browser keeps it."""
    services = services_of(request)
    await end_sessions(services, request, caller.user_id)
    return with_cookies(Response(status_code=204), cleared_session_cookies(services.settings))


def _user(found: Session, scopes: tuple[str, ...]) -> SessionUser:
    return SessionUser(
        id=str(found.user_id),
        handle=found.handle,
        github_user_id=found.github_user_id,
        github_login=lower_ascii(trim(found.github_login)) if found.github_login is not None else None,
        avatar_url=found.github_avatar_url,
        profile_url=found.github_profile_url,
        email=found.github_email,
        email_verified=found.github_email_verified,
        email_primary=found.github_email_primary,
        is_admin=Scope.ADMIN in scopes,
        scopes=scopes,
    )
