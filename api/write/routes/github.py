"""GET /v1/auth/github/start and /callback: a browser leaves for GitHub and comes back signed in."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from api.write import sign_in
from api.write.credentials import cookie_values
from api.write.endpoint import Endpoints, QueryParameter
from api.write.github import CALLBACK_PATH
from api.write.rate_limits import Attempt
from api.write.services import services_of
from api.write.sessions import session_cookie
from shared import errors
from shared.settings import Settings

BROWSER_COOKIE: Final = "x07_oauth_browser"
# RFC 3986, 2.2 and 2.3: what a URL may hold as it is; the rest, also beyond ASCII, is escaped.
URL_CHARACTERS: Final = "!#$%&'()*+,/:;=?@[]~"

route = Endpoints()


@route.get(
    "/v1/auth/github/start",
    query=(QueryParameter("next", str, "The path of the web UI to return to, `/` when absent."),),
    status=302,
    headers=("location", "set-cookie", "cache-control"),
    errors=(errors.BadRequest, errors.GithubOauthDisabled, errors.NextInvalid),
    limited=Attempt.SIGN_IN,
)
async def start(request: Request) -> Response:
    """Send a browser to GitHub to sign in. `next`: the path of the web UI that it returns to."""
    services, next_url = services_of(request), _parameter(request, "next")
    begun = await sign_in.begin(services, next_url or "/", _browser(request))
    return _redirect(begun.location, browser_cookie(services.settings, begun.browser))


@route.get(
    CALLBACK_PATH,
    query=(
        QueryParameter("code", str, "What GitHub gives for an access token."),
        QueryParameter("state", str, "The attempt, from the redirect to GitHub."),
        QueryParameter("error", str, "Why GitHub did not sign in."),
        QueryParameter("error_description", str, "The same in words."),
    ),
    status=302,
    headers=("location", "set-cookie", "cache-control"),
    errors=(
        errors.BadRequest,
        errors.GithubOauthDisabled,
        errors.OauthFailed,
        errors.OauthCodeMissing,
        errors.OauthStateMissing,
        errors.OauthStateInvalid,
        errors.OauthStateExpired,
        errors.OauthTokenRequestFailed,
        errors.OauthTokenResponseInvalid,
        errors.OauthTokenExchangeFailed,
        errors.OauthUserRequestFailed,
        errors.OauthUserResponseInvalid,
        errors.OauthEmailsRequestFailed,
        errors.OauthEmailsResponseInvalid,
        errors.InvalidName,
        errors.HandleTaken,
        errors.NextInvalid,
    ),
    limited=Attempt.SIGN_IN,
)
async def callback(request: Request) -> Response:
    """Where GitHub sends the browser: it gets a session and returns to the web UI."""
    services = services_of(request)
    code, state = _code_and_state(request)
    signed_in = await sign_in.finish(services, code, state, _browser(request))
    location = quote(services.settings.web_base + signed_in.next_url, safe=URL_CHARACTERS)
    return _redirect(location, session_cookie(services.settings, signed_in.secret))


def browser_cookie(settings: Settings, secret: str) -> str:
    """The `set-cookie` value that ties an attempt to a browser; sent to these two routes only.

    Secure where session cookies are, unless the callback is not https: a browser would not return it then.
    """
    base = urlsplit(settings.public_base)
    path = f"{base.path}{CALLBACK_PATH.removesuffix('/callback')}"
    secure = "; Secure" if settings.session_cookie_secure and base.scheme == "https" else ""
    max_age_s = settings.oauth_state_ttl_seconds
    return f"{BROWSER_COOKIE}={secret}; Path={path}; Max-Age={max_age_s}; HttpOnly; SameSite=Lax{secure}"


def _code_and_state(request: Request) -> tuple[str, str]:
    """What GitHub sends along. Raises OauthFailed, OauthCodeMissing, OauthStateMissing, in this order."""
    sign_in.require_github(services_of(request))
    error, description = _parameter(request, "error"), _parameter(request, "error_description")
    code, state = _parameter(request, "code"), _parameter(request, "state")
    if error is not None:
        raise errors.OauthFailed(description if description is not None else f"oauth error: {error}")
    if code is None:
        raise errors.OauthCodeMissing
    if state is None:
        raise errors.OauthStateMissing
    return code, state


def _browser(request: Request) -> str | None:
    """The browser's secret. Of two none counts: the attempt then ends with its own error."""
    values = cookie_values(request, BROWSER_COOKIE)
    return next(iter(values)) if len(values) == 1 else None


def _parameter(request: Request, name: str) -> str | None:
    """A query parameter, None when it is absent. Raises BadRequest when it is given twice."""
    values = request.query_params.getlist(name)
    if len(values) > 1:
        raise errors.BadRequest(f"query parameter {name} was given more than once")
    return values[0] if values else None


def _redirect(location: str, cookie: str) -> Response:
    headers = {"location": location, "set-cookie": cookie, "cache-control": "no-store"}
    return Response(status_code=302, headers=headers)
