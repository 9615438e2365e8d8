"""`x07-registry audit`: who did what."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.administration import checked_handle, moment, print_rows
from deploy.cli.options import AsJson

if TYPE_CHECKING:
    from deploy.administration.queries import EventRow

Actor = Annotated[
    str | None, typer.Option(metavar="HANDLE", help="Only what this user did.", callback=checked_handle)
]
Package = Annotated[str | None, typer.Option(metavar="NAME", help="Only of this package.")]
Action = Annotated[str | None, typer.Option(help="Only of this kind: publish, yank, owner_added, ….")]
Since = Annotated[
    datetime | None,
    typer.Option(
        formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S"], help="Only from then on, in UTC."
    ),
]


def audit(
    actor: Actor = None,
    package: Package = None,
    action: Action = None,
    since: Since = None,
    as_json: AsJson = False,
) -> None:
    """Print audit events, oldest first: a line each, with --json as JSON."""
    from deploy.administration import queries

    from_then = since.replace(tzinfo=UTC) if since is not None else None
    print_rows(
        lambda tx: queries.events(tx, actor=actor, package=package, action=action, since=from_then),
        _line,
        as_json,
    )


def _line(event: EventRow) -> str:
    what = " ".join(filter(None, (event.package_name, event.package_version)))
    details = " ".join(f"{name}={value}" for name, value in event.details.items())
    parts = (moment(event.created_at), event.actor or "-", event.action, what, details)
    return "  ".join(filter(None, parts))
