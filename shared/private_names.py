"""Which packages are private in a public registry: those whose names a pattern of the setting covers. Pure.

A pattern is a name, or the beginning of names followed by `*`. Names that look alike (`acme-x`, `acme_x`) are
private together, so that a slip in a name publishes nothing, and no look-alike tells of a private package.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from shared.names import fold_name

ANY: Final = "*"


def is_private(name: str, patterns: Iterable[str]) -> bool:
    """True if a pattern covers the name. patterns: settings.private_namespaces."""
    return any(covers(pattern, name) for pattern in patterns)


def covers(pattern: str, narrower: str) -> bool:
    """True if the pattern covers a name, or all names that another pattern covers."""
    if pattern.endswith(ANY):
        return folded_pattern(narrower).startswith(folded_pattern(pattern))
    return not narrower.endswith(ANY) and folded_pattern(narrower) == folded_pattern(pattern)


def within(patterns: Iterable[str], limits: Iterable[str] | None) -> tuple[str, ...]:
    """The patterns, narrowed to what the limits cover. limits: patterns too; None for no limit."""
    if limits is None:
        return tuple(patterns)
    pairs = [(pattern, limit) for pattern in patterns for limit in limits]
    found = [
        pattern if covers(limit, pattern) else limit for pattern, limit in pairs if _meet(pattern, limit)
    ]
    return tuple(dict.fromkeys(found))


def folded_pattern(pattern: str) -> str:
    """The folded text of a pattern, without `*`."""
    return fold_name(pattern.removesuffix(ANY))


def _meet(one: str, other: str) -> bool:
    return covers(one, other) or covers(other, one)
