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
    return bool(patterns_of(name, patterns))


def patterns_of(name: str, patterns: Iterable[str]) -> list[str]:
    """The patterns that cover the name."""
    folded = fold_name(name)
    return [pattern for pattern in patterns if _covers(pattern, folded)]


def _covers(pattern: str, folded_name: str) -> bool:
    if pattern.endswith(ANY):
        return folded_name.startswith(fold_name(pattern[:-1]))
    return folded_name == fold_name(pattern)
