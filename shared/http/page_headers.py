"""The headers of HTML pages, which both tiers send."""

from __future__ import annotations

from typing import Final

# A page loads nothing from another host, runs no script and no style of its text, and cannot be framed.
_POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; {}; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)


def _fields(further: str) -> tuple[tuple[bytes, bytes], ...]:
    return (
        (b"content-security-policy", _POLICY.format(further).encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
    )


PAGE_FIELDS: Final = _fields("img-src 'self'")
# The viewer of the API sends requests to the registry itself, and its stylesheet has images as data.
API_FIELDS: Final = _fields("img-src 'self' data:; connect-src 'self'")
