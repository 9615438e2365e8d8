"""Secrets as requests show them and as they are stored: bearer tokens, cookies, hashes (contract, 1.6, 5.1).

Who they belong to is the question of principal.py.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

from starlette.requests import Request

from shared.errors import AuthInvalid
from shared.text import trim

BEARER: Final = "Bearer "
SESSION_COOKIE: Final = "x07_session"


def new_secret(prefix: str) -> str:
    """A fresh secret: the prefix and 64 lower-case hex digits from the system's random source."""
    return prefix + secrets.token_hex(32)


def secret_hash(secret: str) -> str:
    """What is stored of a token or session: the lower-case hex SHA-256 of the whole string.

    Looking up by hash compares in the time of an index, not of the secret.
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

    Raises AuthInvalid for two Authorization lines: which one counts is not ours to guess.
    """
    if len(request.headers.getlist("authorization")) > 1:
        raise AuthInvalid("more than one Authorization header")
    value = header_text(request, "authorization") or ""
    return (trim(value.removeprefix(BEARER)) or None) if value.startswith(BEARER) else None


def cookie_values(request: Request, name: str) -> frozenset[str]:
    """The values under a cookie's name in the first Cookie line, without empty ones.

    A part without `=` is skipped.
    """
    parts = (trim(part).partition("=") for part in request.headers.get("cookie", "").split(";"))
    return frozenset(value for key, equals, value in parts if key == name and equals and value)
