"""Whether a write that a cookie authenticates was meant by the person behind it (contract, 1.6).

A browser sends cookies along with any site's requests. Only a page of a listed origin can read the
session's CSRF token, and only it may send it.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection
from typing import Final

from starlette.requests import Request

from api.write.credentials import header_text
from shared.errors import CsrfInvalid, CsrfOriginForbidden, CsrfOriginRequired, CsrfRequired

CSRF_HEADER: Final = "x-x07-csrf"


def require_csrf(request: Request, csrf_token: str, origins: Collection[str]) -> None:
    """Raise CsrfOriginRequired, CsrfOriginForbidden, CsrfRequired or CsrfInvalid, in this order.

    origins: the CORS list, compared exactly. With `*` in it no origin may write with a cookie.
    """
    origin = header_text(request, "origin")
    if origin is None:
        raise CsrfOriginRequired
    if origin not in origins or "*" in origins:
        raise CsrfOriginForbidden
    shown = header_text(request, CSRF_HEADER)
    if shown is None:
        raise CsrfRequired
    if not hmac.compare_digest(shown.encode(), csrf_token.encode()):
        raise CsrfInvalid
