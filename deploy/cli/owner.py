"""`x07-registry owner`: lists, adds and removes owners of a package."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from deploy.cli.administration import By, HandleArgument, PackageArgument, act, print_done, print_rows
from deploy.cli.options import AsJson

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncConnection

app = typer.Typer(help="List, add and remove owners of a package.", no_args_is_help=True)


@app.command("list")
def list_owners(package: PackageArgument, as_json: AsJson = False) -> None:
    """List a package's owners. Exits with 1 if there is no such package."""
    print_rows(lambda tx: _owners(tx, package), lambda row: row["handle"], as_json, "OWNER")


@app.command()
def add(package: PackageArgument, handle: HandleArgument, by: By = None, as_json: AsJson = False) -> None:
    """Make a user an owner of a package. Nothing changes if the user is one already."""
    from api.write.ownership import add_owner
    from shared.names import Handle, PackageName

    is_visible = act(
        by, lambda services, caller: add_owner(services, caller, PackageName(package), Handle(handle))
    )
    print_done(as_json, f"{handle} owns {package}", is_visible, package=package, added=handle)


@app.command()
def remove(package: PackageArgument, handle: HandleArgument, by: By = None, as_json: AsJson = False) -> None:
    """Remove an owner of a package. The last owner cannot be removed."""
    from api.write.ownership import remove_owner
    from shared.names import Handle, PackageName

    is_visible = act(
        by, lambda services, caller: remove_owner(services, caller, PackageName(package), Handle(handle))
    )
    print_done(as_json, f"{handle} no longer owns {package}", is_visible, package=package, removed=handle)


async def _owners(tx: AsyncConnection, package: str) -> AsyncIterator[dict[str, str]]:
    from api.write.queries import packages
    from shared.names import PackageName

    found = await packages.get(tx, PackageName(package))
    for handle in await packages.owner_handles(tx, found.id):
        yield {"handle": handle}
