"""Secrets as requests carry them and as the database stores them (contract, 1.6, 5.1).

authentication.py finds out whose they are.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from shared.credential_errors import AuthInvalid
from shared.text import trim

BEARER: Final = "Bearer "
SESSION_COOKIE: Final = "x07_session"
TOKEN_PREFIX: Final = "x07t_"  # noqa: S105 - the form of a token, not one

# The name of a scheme before its credential: letters and dashes only, so that no token looks like one.
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z-]{0,15})[ \t]")


def new_secret(prefix: str) -> str:
    """A fresh secret: the prefix and 64 lower-case hex digits from the system's random source."""
    return prefix + secrets.token_hex(32)


def new_token() -> str:
    """The plaintext of a new token (contract, 5.1)."""
    return new_secret(TOKEN_PREFIX)


def secret_hash(secret: str) -> str:
    """The stored form of a token or session secret: the lower-case hex SHA-256 of the whole string.

    A lookup by hash leaks nothing about the secret through its timing.
    """
    return hashlib.sha256(secret.encode()).hexdigest()


def header_text(request: Request, name: str) -> str | None:
    """The first line of a header; None if it is absent or holds more than visible ASCII, space and tab."""
    value = request.headers.get(name)
    if value is None or not all(" " <= character <= "~" or character == "\t" for character in value):
        return None
    return value


def bearer_token(request: Request) -> str | None:
    """The token of `Authorization: Bearer …`; another scheme or an empty rest counts as none.

    Raises AuthInvalid for two Authorization lines, because nothing says which one counts.
    """
    if len(request.headers.getlist("authorization")) > 1:
        raise AuthInvalid("more than one Authorization header")
    value = header_text(request, "authorization") or ""
    return (trim(value.removeprefix(BEARER)) or None) if value.startswith(BEARER) else None


def unusable_authorization(request: Request) -> str | None:
    """Why the Authorization header holds no bearer token; None if there is no header. Contains no secret."""
    value = request.headers.get("authorization")
    if value is None:
        return None
    if value.startswith(BEARER) or trim(value) == trim(BEARER):
        return "the Authorization header has no token after Bearer"
    scheme = _SCHEME.match(value)
    if scheme is not None and scheme[1].lower() == trim(BEARER).lower():
        return f'the scheme is spelled "Bearer", not "{scheme[1]}"'
    what = scheme[1] if scheme is not None else "this Authorization header"
    return f"{what} is not taken here; send Authorization: Bearer and a token"


def with_cookies(response: Response, cookies: Iterable[str]) -> Response:
    """The response with a `set-cookie` line for each of these values."""
    for cookie in cookies:
        response.headers.append("set-cookie", cookie)
    return response


def cookie_values(request: Request, name: str) -> frozenset[str]:
    """The values under a cookie's name in the first Cookie line, without empty ones.

    A part without `=` is skipped.
    """
    parts = (trim(part).partition("=") for part in request.headers.get("cookie", "").split(";"))
    return frozenset(value for key, equals, value in parts if key == name and equals and value)
