"""Archetypes: what packages are patterns for, by the facets of their latest versions."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from api.write.paging import Page
from api.write.queries import archetypes as queries
from api.write.queries.archetypes import ArchetypedPackage
from api.write.queries.search import plan_for_values
from api.write.services import Services
from shared.errors import InvalidArchetype, NotFound
from shared.text import lower_ascii, trim


@dataclass(frozen=True, slots=True)
class Archetype:
    """An archetype with its packages, by name."""

    name: str
    packages: tuple[ArchetypedPackage, ...]


async def archetypes(services: Services, q: str, page: Page) -> tuple[int, list[Archetype]]:
    """How many archetypes match a lower-case text, and those on the page, by bytes.

    A package counts for an archetype if the text is in the archetype, or in its name and description.
    """
    async with services.database.transaction() as tx:
        await plan_for_values(tx)
        total, rows = await queries.page_of_archetypes(tx, q, page)
    grouped = groupby(rows, key=lambda row: row.archetype)
    return total, [Archetype(name, tuple(packages)) for name, packages in grouped]


async def archetype(services: Services, written: str) -> Archetype:
    """One archetype, however its case is written. Raises InvalidArchetype when blank, and NotFound."""
    name = lower_ascii(trim(written))
    if not name:
        raise InvalidArchetype
    async with services.database.transaction() as tx:
        packages = await queries.packages_of(tx, name) if "\0" not in name else []
    if not packages:
        raise NotFound("archetype not found")
    return Archetype(name, tuple(packages))
