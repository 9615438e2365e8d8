"""Reverse dependencies: which packages require this one."""

from __future__ import annotations

from api.write.queries import dependents as queries
from api.write.queries import packages
from api.write.queries.dependents import Dependent
from api.write.query_params import Page
from api.write.services import Services
from shared.errors import NotFound
from shared.names import PackageName


async def dependents(
    services: Services, name: PackageName, page: Page, *, is_hidden: bool
) -> tuple[int, list[Dependent]]:
    """How many requirements of latest versions name the package, and a page of them.

    Raises NotFound, also for a package that is hidden from the caller.
    """
    async with services.database.transaction("REPEATABLE READ") as tx:
        if await packages.find(tx, name) is None or is_hidden:
            raise NotFound.package(name)
        return await queries.page_of_dependents(tx, name, page)
