"""The limits of a token besides its scopes: when it ends, and which packages it may change. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from shared.errors import Forbidden, UnprocessableBody
from shared.text import rust_quote
from shared.timestamps import render_timestamp

MAX_DAYS: Final = 3650
MAX_PATTERNS: Final = 100
PACKAGE_PATTERN: Final = r"^[a-z0-9_-]{1,128}\*?\Z"
"""A package's name, or the beginning of names followed by `*`."""
ANY: Final = "*"


@dataclass(frozen=True, slots=True)
class TokenLimits:
    """expires_at: None for a token that does not end. packages: names, and prefixes that end in `*`.

    packages is None for a token that may change every package that its user may change.
    """

    expires_at: datetime | None = None
    packages: tuple[str, ...] | None = None

    def require_package(self, name: str) -> None:
        """Raise Forbidden if the token is limited to other packages."""
        if self.packages is not None and not covers(self.packages, name):
            raise Forbidden(
                f"this token is for {', '.join(map(rust_quote, self.packages))} alone, not for "
                f"{rust_quote(name)}; use a token that is for this package, or make one"
            )


UNLIMITED: Final = TokenLimits()


def covers(patterns: Collection[str], pattern: str) -> bool:
    """True if one of the patterns matches every name that the pattern (or name) matches."""
    return any(
        pattern == wider or (wider.endswith(ANY) and pattern.removesuffix(ANY).startswith(wider[:-1]))
        for wider in patterns
    )


def granted(caller: TokenLimits, asked: TokenLimits, max_days: int | None, now: datetime) -> TokenLimits:
    """The limits of a token that a caller makes. Limits that are not given are those of the caller.

    max_days: the longest that any token may last, None for no limit. Raises Forbidden for more than the
    caller has, UnprocessableBody for an end that is past or too far away.
    """
    longest = now + timedelta(days=MAX_DAYS if max_days is None else max_days)
    if asked.expires_at is not None and not now < asked.expires_at <= longest:
        raise UnprocessableBody(
            f"expires_at must be after now and not after {render_timestamp(longest)}, "
            "which is the longest that a token may last here"
        )
    return TokenLimits(
        _end(caller, asked, longest if max_days is not None else None), _packages(caller, asked)
    )


def in_days(limits: TokenLimits, days: int | None, now: datetime) -> TokenLimits:
    """The limits with an end in so many days, unless days is None."""
    return limits if days is None else replace(limits, expires_at=now + timedelta(days=days))


def _end(caller: TokenLimits, asked: TokenLimits, longest: datetime | None) -> datetime | None:
    if asked.expires_at is None:
        return min((end for end in (caller.expires_at, longest) if end is not None), default=None)
    if caller.expires_at is not None and asked.expires_at > caller.expires_at:
        raise Forbidden(
            f"cannot grant an end after this token's own, {render_timestamp(caller.expires_at)}; "
            "ask for an earlier one, or use a token that lasts longer"
        )
    return asked.expires_at


def _packages(caller: TokenLimits, asked: TokenLimits) -> tuple[str, ...] | None:
    if asked.packages is None:
        return caller.packages
    patterns = tuple(sorted(set(asked.packages)))
    for pattern in patterns:
        if caller.packages is not None and not covers(caller.packages, pattern):
            raise Forbidden(f"cannot grant a package that this token is not for: {rust_quote(pattern)}")
    return patterns
