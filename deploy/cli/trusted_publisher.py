"""`x07-registry trusted-publisher`: which builds may publish a package without a stored secret."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from deploy.cli.administration import By, PackageArgument, act, moment, print_done, print_rows
from deploy.cli.options import AsJson

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncConnection

    from api.write.queries.trusted_publishers import Publisher

app = typer.Typer(
    help="List, add and remove builds that may publish a package without a token.", no_args_is_help=True
)
LAYOUT = "{!s:<36}  {:<44}  {:<32}  {:<32}  {}"
HEADING = LAYOUT.format("ID", "ISSUER", "REPOSITORY", "WORKFLOW", "ADDED")


class Kind(StrEnum):
    """How the issuer names builds."""

    GITHUB = "github"
    GITLAB = "gitlab"


Repository = Annotated[
    str, typer.Option(metavar="PATH", help="Path of the repository at the issuer, such as octo/hello.")
]
Workflow = Annotated[
    str,
    typer.Option(
        metavar="FILE",
        help="GitHub: name of a file in .github/workflows; GitLab: path of the pipeline's file.",
    ),
]
Environment = Annotated[
    str | None, typer.Option(help="Of the job.", show_default="any environment, and jobs without one")
]
IssuerOption = Annotated[
    str | None,
    typer.Option(
        "--issuer", metavar="URL", help="One of X07_REGISTRY_TRUSTED_ISSUERS.", show_default="first"
    ),
]
PublisherId = Annotated[UUID, typer.Argument(metavar="ID", help="As `trusted-publisher list` shows it.")]


@app.command("list")
def list_publishers(package: PackageArgument, as_json: AsJson = False) -> None:
    """List a package's trusted publishers, oldest first, including those that wait for a first version."""
    print_rows(lambda tx: _publishers(tx, package), _line, as_json, HEADING)


@app.command()
def add(
    package: PackageArgument,
    repository: Repository,
    workflow: Workflow,
    kind: Annotated[Kind, typer.Option(help="Of the issuer.")] = Kind.GITHUB,
    environment: Environment = None,
    issuer: IssuerOption = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Let a build publish a package on behalf of --by, who owns the package or will own a new one."""
    from api.write.trusted_publishing.publishers import add_publisher
    from api.write.trusted_publishing.wanted import parse_wanted
    from shared.names import parse_name

    name = parse_name(package)
    added = act(
        by,
        lambda services, caller: add_publisher(
            services,
            caller,
            name,
            parse_wanted(services.settings, kind, repository, workflow, environment, issuer),
        ),
    )
    text = f"{added.repository} may publish {package} on behalf of {added.added_by}"
    print_done(as_json, text, package=package, added=str(added.id))


@app.command()
def remove(
    package: PackageArgument, publisher_id: PublisherId, by: By = None, as_json: AsJson = False
) -> None:
    """Remove a trusted publisher, and revoke tokens that its builds hold."""
    from api.write.trusted_publishing.publishers import remove_publisher
    from shared.names import parse_name

    name = parse_name(package)
    act(by, lambda services, caller: remove_publisher(services, caller, name, publisher_id))
    print_done(as_json, f"removed {publisher_id}", package=package, removed=str(publisher_id))


async def _publishers(tx: AsyncConnection, package: str) -> AsyncIterator[Publisher]:
    from api.write.queries.trusted_publishers import of_package
    from shared.names import parse_name

    for publisher in await of_package(tx, parse_name(package)):
        yield publisher


def _line(row: Publisher) -> str:
    environment = f"  environment {row.environment}" if row.environment else ""
    state = "" if row.is_usable else "  inactive"
    added = f"{moment(row.created_at)}  by {row.added_by}{environment}{state}"
    return LAYOUT.format(row.id, row.issuer, row.repository, row.workflow, added)
