"""The web session: GET /v1/auth/session, POST /v1/auth/logout."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from api.write.endpoint import Auth, Endpoints, Scope
from api.write.json_body import json_response
from api.write.principal import Principal
from api.write.queries.sessions import Session
from api.write.services import services_of
from api.write.sessions import cleared_session_cookie, end_session, optional_session, session_scopes

NO_STORE = {"cache-control": "no-store"}

route = Endpoints()


class SessionUser(msgspec.Struct, frozen=True, kw_only=True):
    """Who is signed in, and what the session may do. email: a verified address, or null."""

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
    """Whether somebody is signed in. csrf_token: what writes send as `x-x07-csrf`."""

    ok: bool = True
    authenticated: bool
    csrf_token: str | UnsetType = UNSET
    user: SessionUser | UnsetType = UNSET


@route.get("/v1/auth/session", response=SessionResponse, headers=("cache-control",), may_have_session=True)
async def session(request: Request) -> Response:
    """Who is signed in here. Never 401: without a session that works the answer says so."""
    services = services_of(request)
    found = await optional_session(services, request)
    if found is None:
        return json_response(SessionResponse(authenticated=False), headers=NO_STORE)
    scopes = session_scopes(services.settings, found.github_user_id)
    body = SessionResponse(authenticated=True, csrf_token=found.csrf_token, user=_user(found, scopes))
    return json_response(body, headers=NO_STORE)


@route.post("/v1/auth/logout", auth=Auth.SESSION, status=204, headers=("set-cookie",))
async def logout(request: Request, caller: Principal) -> Response:
    """End the session and take its cookie back."""
    services = services_of(request)
    if caller.session_id is not None:
        await end_session(services, caller.session_id)
    return Response(status_code=204, headers={"set-cookie": cleared_session_cookie(services.settings)})


def _user(found: Session, scopes: tuple[str, ...]) -> SessionUser:
    return SessionUser(
        id=str(found.user_id),
        handle=found.handle,
        github_user_id=found.github_user_id,
        github_login=found.github_login,
        avatar_url=found.github_avatar_url,
        profile_url=found.github_profile_url,
        email=found.github_email,
        email_verified=found.github_email_verified,
        email_primary=found.github_email_primary,
        is_admin=Scope.ADMIN in scopes,
        scopes=scopes,
    )
