"""`x07-registry package`: lists and shows packages, transfers them, and removes versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.administration import (
    By,
    HandleArgument,
    PackageArgument,
    act,
    ask,
    checked_handle,
    moment,
    print_done,
    print_rows,
)
from deploy.cli.options import AsJson, print_json

if TYPE_CHECKING:
    from api.write.principal import Principal
    from api.write.services import Services
    from deploy.administration.packages import PackageView
    from deploy.administration.queries import PackageRow

app = typer.Typer(help="List, show, transfer packages; remove a version.", no_args_is_help=True)

LAYOUT = "{:<32}  {:<16}  {:>8}  {}"
HEADING = LAYOUT.format("NAME", "LATEST", "VERSIONS", "OWNERS")

Owner = Annotated[
    str | None,
    typer.Option(metavar="HANDLE", help="Only packages that this user owns.", callback=checked_handle),
]
VersionArgument = Annotated[str, typer.Argument(metavar="VERSION", help="The version, as it was published.")]
Reason = Annotated[str, typer.Option(help="The reason for the audit trail, such as a file number.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@app.command("list")
def list_packages(owner: Owner = None, as_json: AsJson = False) -> None:
    """List packages by name, with latest version, number of versions and owners."""
    from deploy.administration import queries

    print_rows(lambda tx: queries.packages(tx, owner), _line, as_json, HEADING)


@app.command()
def show(package: PackageArgument, as_json: AsJson = False) -> None:
    """Show a package with its owners, versions and removed versions. Exits with 1 if it does not exist."""
    from deploy.administration.packages import view_of
    from shared.names import PackageName

    view = ask(lambda tx: view_of(tx, PackageName(package)))
    if as_json:
        print_json(view)
    else:
        print(*_lines(view), sep="\n")


@app.command()
def transfer(
    package: PackageArgument, handle: HandleArgument, by: By = None, as_json: AsJson = False
) -> None:
    """Make a user the only owner of a package.

    The command adds the new owner first and then removes the others. If it is stopped, run it again.
    """
    from api.write.ownership import add_owner, owners_of, remove_owner
    from shared.names import Handle, PackageName

    name = PackageName(package)

    async def work(services: Services, caller: Principal) -> bool:
        is_visible = await add_owner(services, caller, name, Handle(handle))
        for other in await owners_of(services, name):
            if other != handle:
                is_visible = await remove_owner(services, caller, name, Handle(other))
        return is_visible

    is_visible = act(by, work)
    print_done(as_json, f"{handle} is the only owner of {package}", is_visible, package=package, owner=handle)


@app.command()
def remove_version(
    package: PackageArgument,
    version: VersionArgument,
    reason: Reason,
    by: By = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Remove a version for legal reasons. It cannot be undone.

    Its archive, metadata and index line leave the published tree; its advisories are deleted. The version can
    never be published again, not even with the same bytes. Copies in mirrors, caches and elsewhere remain.
    Archives may be cached for a year, so purge the edge. Upgrade every process before the first use, because
    older releases do not know removed versions.
    """
    from api.write import removal
    from shared.names import PackageName
    from shared.versions import VersionText

    if not yes:
        typer.confirm(f"Remove {package} {version} for good?", abort=True, err=True)
    is_visible = act(
        by,
        lambda services, caller: removal.remove_version(
            services, caller, PackageName(package), VersionText(version), reason
        ),
    )
    print_done(as_json, f"removed {package} {version}", is_visible, package=package, version=version)


def _line(package: PackageRow) -> str:
    state = "" if package.is_published else "  (not published yet)"
    owners = f"{','.join(package.owners)}{state}"
    return LAYOUT.format(package.name, package.latest_version or "-", package.versions, owners).rstrip()


def _lines(view: PackageView) -> list[str]:
    lines = [f"{view.name}  latest {view.latest_version or '-'}  owners {','.join(view.owners)}"]
    for row in view.versions:
        state = "  yanked" if row.yanked else ""
        lines.append(f"  {row.version:<16}  {moment(row.published_at)}  {row.cksum}{state}")
    for gone in view.removed:
        lines.append(f"  {gone.version:<16}  {moment(gone.removed_at)}  removed: {gone.reason}")
    return lines
