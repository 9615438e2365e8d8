"""Reverse dependencies: which packages require this one, and which of them a new version leaves behind."""

from __future__ import annotations

from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from api.write.paging import Page
from api.write.queries import dependents as queries
from api.write.queries import packages
from api.write.queries.dependents import Dependent
from api.write.services import Services
from shared.names import PackageName
from shared.requires_packages import is_met

# Warnings that nobody reads to the end; a publish must not take longer the more depend on it.
MAX_CONFLICTS: Final = 1000
MAX_REQUIREMENTS: Final = 1000


async def dependents(services: Services, name: PackageName, page: Page) -> tuple[int, list[Dependent]]:
    """How many requirements latest versions have of the package, and a page of them. Raises NotFound."""
    async with services.database.transaction("REPEATABLE READ") as tx:
        await packages.get(tx, name)
        return await queries.page_of_dependents(tx, name, page)


async def conflicts_with(tx: AsyncConnection, name: PackageName, version: str) -> tuple[Dependent, ...]:
    """Packages whose latest version requires this one at a version that this release is not.

    By name, at most MAX_CONFLICTS, of at most MAX_REQUIREMENTS different requirements.
    """
    requirements = await queries.requirements_on(tx, name, MAX_REQUIREMENTS)
    unmet = [requirement for requirement in requirements if not is_met(requirement, version)]
    return tuple(await queries.dependents_with(tx, name, unmet, MAX_CONFLICTS)) if unmet else ()
