"""Which packages a mirror has: those whose name matches one of the operator's patterns."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from indexer.mirror.package import Packages
from indexer.upkeep.log_index import names_in
from shared.names import PackageName


def is_wanted(name: str, patterns: Sequence[str]) -> bool:
    """True if one of the patterns matches."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


async def hide_unwanted(packages: Packages, patterns: Sequence[str]) -> None:
    """Remove index files and pages of packages that no pattern matches, since nothing updates them any more.

    Their archives stay, so that they need not be copied again when the patterns are widened.
    """
    shown = names_in(packages.mirror, ())
    for name in [name async for name in shown() if not is_wanted(name, patterns)]:
        await packages.put(PackageName(name), {}, ())
