"""GET /v1/auth/github/start and /callback: send a browser to GitHub and sign it in when it returns."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from api.write import sign_in
from api.write.credentials import cookie_values, with_cookies
from api.write.endpoint import Endpoints, QueryParameter
from api.write.github import CALLBACK_PATH
from api.write.rate_limits import Attempt
from api.write.services import services_of
from api.write.sessions import session_cookies
from shared import errors, publish_errors, sign_in_errors
from shared.settings import Settings

BROWSER_COOKIE: Final = "x07_oauth_browser"
# RFC 3986, 2.2 and 2.3: the characters that a URL may contain unescaped; all others are percent-encoded.
URL_CHARACTERS: Final = "!#$%&'()*+,/:;=?@[]~"

route = Endpoints()


@route.get(
    "/v1/auth/github/start",
    query=(QueryParameter("next", str, "The path of the web UI to return to, `/` when absent."),),
    status=302,
    headers=("location", "set-cookie", "cache-control"),
    errors=(errors.BadRequest, sign_in_errors.GithubOauthDisabled, sign_in_errors.NextInvalid),
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
        QueryParameter("code", str, "The code that GitHub exchanges for an access token."),
        QueryParameter("state", str, "The sign-in attempt, as in the redirect to GitHub."),
        QueryParameter("error", str, "The code of the reason why GitHub did not sign in the user."),
        QueryParameter("error_description", str, "The reason in words."),
    ),
    status=302,
    headers=("location", "set-cookie", "cache-control"),
    errors=(
        errors.BadRequest,
        sign_in_errors.GithubOauthDisabled,
        sign_in_errors.OauthFailed,
        sign_in_errors.OauthCodeMissing,
        sign_in_errors.OauthStateMissing,
        sign_in_errors.OauthStateInvalid,
        sign_in_errors.OauthStateExpired,
        sign_in_errors.OauthTokenRequestFailed,
        sign_in_errors.OauthTokenResponseInvalid,
        sign_in_errors.OauthTokenExchangeFailed,
        sign_in_errors.OauthUserRequestFailed,
        sign_in_errors.OauthUserResponseInvalid,
        sign_in_errors.OauthEmailsRequestFailed,
        sign_in_errors.OauthEmailsResponseInvalid,
        publish_errors.InvalidName,
        sign_in_errors.HandleTaken,
        sign_in_errors.NextInvalid,
    ),
    limited=Attempt.SIGN_IN,
)
async def callback(request: Request) -> Response:
    """GitHub sends the browser here; it gets a session and returns to the web UI."""
    services = services_of(request)
    code, state = _code_and_state(request)
    signed_in = await sign_in.finish(services, code, state, _browser(request))
    location = quote(services.settings.web_base + signed_in.next_url, safe=URL_CHARACTERS)
    return _redirect(location, *session_cookies(services.settings, signed_in.secret, request))


def browser_cookie(settings: Settings, secret: str) -> str:
    """The `set-cookie` value that ties an attempt to a browser, which sends it to these two routes only.

    Secure when session cookies are, unless the callback is not https: a browser would not return it then.
    """
    base = urlsplit(settings.public_base)
    path = f"{base.path}{CALLBACK_PATH.removesuffix('/callback')}"
    secure = "; Secure" if settings.session_cookie_secure and base.scheme == "https" else ""
    max_age_s = settings.oauth_state_ttl_seconds
    return f"{BROWSER_COOKIE}={secret}; Path={path}; Max-Age={max_age_s}; HttpOnly; SameSite=Lax{secure}"


def _code_and_state(request: Request) -> tuple[str, str]:
    """The code and state from GitHub. Raises, in order, OauthFailed, OauthCodeMissing, OauthStateMissing."""
    sign_in.require_github(services_of(request))
    error, description = _parameter(request, "error"), _parameter(request, "error_description")
    code, state = _parameter(request, "code"), _parameter(request, "state")
    if error is not None:
        raise sign_in_errors.OauthFailed(description if description is not None else f"oauth error: {error}")
    if code is None:
        raise sign_in_errors.OauthCodeMissing
    if state is None:
        raise sign_in_errors.OauthStateMissing
    return code, state


def _browser(request: Request) -> str | None:
    """The browser's secret; None if it sends two, so that the attempt ends with its own error."""
    values = cookie_values(request, BROWSER_COOKIE)
    return next(iter(values)) if len(values) == 1 else None


def _parameter(request: Request, name: str) -> str | None:
    """A query parameter, None when it is absent. Raises BadRequest when it is given twice."""
    values = request.query_params.getlist(name)
    if len(values) > 1:
        raise errors.BadRequest(f"query parameter {name} was given more than once")
    return values[0] if values else None


def _redirect(location: str, *cookies: str) -> Response:
    headers = {"location": location, "cache-control": "no-store"}
    return with_cookies(Response(status_code=302, headers=headers), cookies)
