"""Archetypes: groups of packages by the `archetype:` facets of their latest versions."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from api.write.queries import archetypes as queries
from api.write.queries.archetypes import ArchetypedPackage
from api.write.query_params import Page
from api.write.services import Services
from shared.errors import InvalidArchetype, NotFound
from shared.text import lower_ascii, trim


@dataclass(frozen=True, slots=True)
class Archetype:
    """An archetype with its packages, by name.

    package_count: of all its packages, including those that are left out because the list is full.
    """

    name: str
    package_count: int
    packages: tuple[ArchetypedPackage, ...]


async def archetypes(services: Services, q: str, page: Page) -> tuple[int, list[Archetype]]:
    """How many archetypes match a lower-case text, and the requested page of them, in byte order.

    A package counts for an archetype if the text is in the archetype, or in its name and description.
    """
    async with services.database.transaction() as tx:
        await queries.plan_for_values(tx)
        total, rows = await queries.page_of_archetypes(tx, q, page)
    grouped = groupby(rows, key=lambda row: row.archetype)
    return total, [_archetype(name, tuple(packages)) for name, packages in grouped]


async def archetype(services: Services, written: str) -> Archetype:
    """One archetype, named in any case. Raises InvalidArchetype for a blank name, and NotFound."""
    name = lower_ascii(trim(written))
    if not name:
        raise InvalidArchetype
    async with services.database.transaction() as tx:
        packages = await queries.packages_of(tx, name) if "\0" not in name else []
    if not packages:
        raise NotFound("archetype not found")
    return _archetype(name, tuple(packages))


def _archetype(name: str, packages: tuple[ArchetypedPackage, ...]) -> Archetype:
    return Archetype(name, packages[0].package_count, packages)
