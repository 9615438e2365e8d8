"""CSRF protection: a write with a session cookie must come from a listed origin's page (contract, 1.6).

A browser sends cookies with requests from any site. Only a page of a listed origin can read the session's
CSRF token and send it.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection
from typing import Final

from starlette.requests import Request

from api.write.credentials import header_text
from shared.credential_errors import CsrfInvalid, CsrfOriginForbidden, CsrfOriginRequired, CsrfRequired

CSRF_HEADER: Final = "x-x07-csrf"
ANY_ORIGIN: Final = "*"


def require_csrf(request: Request, csrf_token: str, origins: Collection[str]) -> None:
    """Raise CsrfOriginRequired, CsrfOriginForbidden, CsrfRequired or CsrfInvalid, in this order.

    origins: the CORS list, compared exactly. A `*` in the list allows no write with a cookie; only the
    origins listed beside it may write.
    """
    origin = header_text(request, "origin")
    if origin is None:
        raise CsrfOriginRequired
    if origin not in origins or origin == ANY_ORIGIN:
        raise CsrfOriginForbidden
    shown = header_text(request, CSRF_HEADER)
    if shown is None:
        raise CsrfRequired
    if not hmac.compare_digest(shown.encode(), csrf_token.encode()):
        raise CsrfInvalid
