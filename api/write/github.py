"""GitHub OAuth client: exchanges the code and fetches the user's profile (contract, 5.3, 5.4).

Every call has a time limit. A failure is a 502 that names the step; its cause is in the log.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from base64 import urlsafe_b64encode
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import urlencode

import httpx
import msgspec
import structlog

from api.write.queries.users import Profile
from shared.errors import RegistryError
from shared.http.authorities import trusted_authorities
from shared.settings import Settings
from shared.sign_in_errors import (
    OauthEmailsRequestFailed,
    OauthEmailsResponseInvalid,
    OauthTokenExchangeFailed,
    OauthTokenRequestFailed,
    OauthTokenResponseInvalid,
    OauthUserRequestFailed,
    OauthUserResponseInvalid,
)
from shared.text import lower_ascii, trim

TIMEOUT_S: Final = 10.0
SCOPES: Final = "read:user user:email"
CALLBACK_PATH: Final = "/v1/auth/github/callback"

Shape = TypeVar("Shape")
Text = Annotated[str, msgspec.Meta(pattern="^[^\\u0000]*$")]
# A bearer token that fits in a header: visible ASCII (RFC 6750, 2.1 allows less).
BearerToken = Annotated[str, msgspec.Meta(pattern=r"^[!-~]*\Z")]

log = structlog.get_logger()


class _TokenAnswer(msgspec.Struct, frozen=True):
    """RFC 6749, 5.1 and 5.2; GitHub also uses status 200 for errors."""

    access_token: BearerToken | None = None
    error: str | None = None
    error_description: str | None = None


class _UserAnswer(msgspec.Struct, frozen=True):
    id: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
    login: Text
    avatar_url: Text | None = None
    html_url: Text | None = None


class _Email(msgspec.Struct, frozen=True):
    email: Text
    primary: bool
    verified: bool


class Github:
    """A pooled client of one GitHub server: github.com or an Enterprise server."""

    def __init__(self, settings: Settings, client_secret: str, *, timeout_s: float = TIMEOUT_S) -> None:
        """timeout_s: time limit of one call in seconds, redirects included."""
        self._client_id, self._client_secret = settings.github_client_id or "", client_secret
        self._authorize_base, self._api_base = settings.github_authorize_base, settings.github_api_base
        self._redirect_uri = settings.public_base + CALLBACK_PATH
        self._timeout_s = timeout_s
        self._client = httpx.AsyncClient(
            timeout=timeout_s,
            verify=trusted_authorities(),
            follow_redirects=True,
            headers={"user-agent": "x07-registry", "accept": "application/json"},
            # One client serves everyone who signs in, so it must keep no cookie.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        )

    def authorize_url(self, state: str, code_verifier: str) -> str:
        """The URL at which a browser signs in, with parameters in the contract's order."""
        parameters = {
            "client_id": self._client_id,
            "redirect_uri": self._redirect_uri,
            "state": state,
            "scope": SCOPES,
            "allow_signup": "true",
            "code_challenge": code_challenge(code_verifier),
            "code_challenge_method": "S256",
        }
        return f"{self._authorize_base}/login/oauth/authorize?{urlencode(parameters)}"

    async def profile(self, code: str, code_verifier: str | None) -> Profile:
        """The profile of the person who signed in.

        Exchanges the code for a token, makes two requests with the token and then forgets it.

        Raises OauthTokenRequestFailed, OauthTokenResponseInvalid, OauthTokenExchangeFailed,
        OauthUserRequestFailed, OauthUserResponseInvalid, OauthEmailsRequestFailed,
        OauthEmailsResponseInvalid.

        """
        token = await self._exchange(code, code_verifier)
        user_body = await self._get("/user", token, OauthUserRequestFailed)
        user = _decoded(user_body, _UserAnswer, OauthUserResponseInvalid)
        emails_body = await self._get("/user/emails", token, OauthEmailsRequestFailed)
        email = _best(_decoded(emails_body, list[_Email], OauthEmailsResponseInvalid))
        return Profile(
            github_user_id=user.id,
            github_login=lower_ascii(trim(user.login)),
            github_avatar_url=user.avatar_url,
            github_profile_url=user.html_url,
            github_email=email.email if email else None,
            github_email_verified=email is not None,
            github_email_primary=email is not None and email.primary,
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    async def _exchange(self, code: str, code_verifier: str | None) -> str:
        form = {
            "client_id": self._client_id,
            "client_secret": self._client_secret,
            "code": code,
            "redirect_uri": self._redirect_uri,
        }
        if code_verifier is not None:
            form["code_verifier"] = code_verifier
        url = f"{self._authorize_base}/login/oauth/access_token"
        response = await self._send("POST", url, OauthTokenRequestFailed, data=form)
        answer = _decoded(response.content, _TokenAnswer, OauthTokenResponseInvalid)
        if not answer.access_token:
            raise OauthTokenExchangeFailed(answer.error_description or answer.error)
        return answer.access_token

    async def _get(self, path: str, token: str, failed: type[RegistryError]) -> bytes:
        headers = {"authorization": f"Bearer {token}"}
        response = await self._send("GET", self._api_base + path, failed, headers=headers)
        if not response.is_success:
            log.warning("github_refused", code=failed.code, status=response.status_code)
            raise failed
        return response.content

    async def _send(self, method: str, url: str, failed: type[RegistryError], **parts: Any) -> httpx.Response:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._client.request(method, url, **parts)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            log.warning("github_unavailable", code=failed.code, error=type(error).__name__)
            raise failed from None


def open_github(settings: Settings) -> Github | None:
    """A client if sign-in is configured, else None. It connects when the first person signs in."""
    if settings.github_client_id is None or settings.github_client_secret is None:
        return None
    return Github(settings, settings.github_client_secret.get_secret_value())


def new_code_verifier() -> str:
    """A fresh PKCE verifier: 43 characters that hold 256 random bits (RFC 7636, 4.1)."""
    return secrets.token_urlsafe(32)


def code_challenge(code_verifier: str) -> str:
    """The S256 challenge of a verifier (RFC 7636, 4.2)."""
    return urlsafe_b64encode(hashlib.sha256(code_verifier.encode()).digest()).rstrip(b"=").decode()


def _decoded(body: bytes, shape: type[Shape], invalid: type[RegistryError]) -> Shape:
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        log.warning("github_response_invalid", code=invalid.code, reason=str(error))
        raise invalid from None


def _best(emails: list[_Email]) -> _Email | None:
    """The primary address if it is verified, else the first verified one, else None."""
    verified = [email for email in emails if email.verified]
    return next((email for email in verified if email.primary), verified[0] if verified else None)
