"""`x07-registry package`: what is published, by whom; and what must go."""

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

Owner = Annotated[
    str | None, typer.Option(metavar="HANDLE", help="Only what this user owns.", callback=checked_handle)
]
VersionArgument = Annotated[str, typer.Argument(metavar="VERSION", help="As it was published.")]
Reason = Annotated[str, typer.Option(help="Why, for the audit trail: a file number, a decision.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@app.command("list")
def list_packages(owner: Owner = None, as_json: AsJson = False) -> None:
    """List packages by name: latest version, how many versions, owners."""
    from deploy.administration import queries

    print_rows(lambda tx: queries.packages(tx, owner), _line, as_json)


@app.command()
def show(package: PackageArgument, as_json: AsJson = False) -> None:
    """Show a package: owners, versions, and versions that were removed. Exits with 1 if there is none."""
    from deploy.administration.packages import view_of
    from shared.names import PackageName

    view = ask(lambda tx: view_of(tx, PackageName(package)))
    if as_json:
        print_json(view)
    else:
        print(*_lines(view), sep="\n")


@app.command()
def transfer(
    package: PackageArgument, handle: HandleArgument, by: By = "admin", as_json: AsJson = False
) -> None:
    """Make a user the only owner of a package.

    The new owner is added first and each other is removed after that: stopped on the way and run again,
    it goes on.
    """
    from api.write.ownership import add_owner, owners_of, remove_owner
    from shared.names import Handle, PackageName

    name = PackageName(package)

    async def work(services: Services, caller: Principal) -> bool:
        is_visible = await add_owner(services, caller, name, Handle(handle))
        for other in (await owners_of(services, name)).handles:
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
    by: By = "admin",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Remove a version for legal reasons. It cannot be undone.

    Its archive, metadata and index line leave the published tree; its advisories are deleted. The version
    can never be published again, with the same bytes or others. Copies that mirrors, caches and people
    hold stay: archives may be cached for a year, so purge the edge. Upgrade every process before the
    first use: an older one does not know of removed versions.
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
    owners = ",".join(package.owners)
    return f"{package.name:<32}  {package.latest_version or '-':<16}  {package.versions:>4}  {owners}{state}"


def _lines(view: PackageView) -> list[str]:
    lines = [f"{view.name}  latest {view.latest_version or '-'}  owners {','.join(view.owners)}"]
    for row in view.versions:
        state = "  yanked" if row.yanked else ""
        lines.append(f"  {row.version:<16}  {moment(row.published_at)}  {row.cksum}{state}")
    for gone in view.removed:
        lines.append(f"  {gone.version:<16}  {moment(gone.removed_at)}  removed: {gone.reason}")
    return lines
