"""Finds packages whose latest version has a requirement that a newly published version does not meet."""

from __future__ import annotations

from typing import Final

from api.write.queries import dependents as queries
from api.write.queries.dependents import Dependent
from shared.names import PackageName
from shared.requires_packages import is_met
from shared.statements import Connection

# No publisher reads more warnings than this, and a publish must not get slower with the number of packages
# that depend on it.
MAX_CONFLICTS: Final = 1000
MAX_REQUIREMENTS: Final = 1000


async def conflicts_with(tx: Connection, name: PackageName, version: str) -> tuple[Dependent, ...]:
    """Packages whose latest version requires this package in a range that excludes the new version.

    Sorted by name; at most MAX_CONFLICTS packages, found among at most MAX_REQUIREMENTS different
    requirements.
    """
    requirements = await queries.requirements_on(tx, name, MAX_REQUIREMENTS)
    unmet = [requirement for requirement in requirements if not is_met(requirement, version)]
    return tuple(await queries.dependents_with(tx, name, unmet, MAX_CONFLICTS)) if unmet else ()
