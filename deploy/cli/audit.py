"""`x07-registry audit`: prints audit events."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.administration import ask, checked_handle, moment, print_rows
from deploy.cli.options import AsJson, render_json

if TYPE_CHECKING:
    from deploy.administration.queries import EventRow

LAYOUT = "{:<20}  {:<24}  {:<24}  {:<32}  {}"
HEADING = LAYOUT.format("TIME", "ACTOR", "ACTION", "PACKAGE", "DETAILS")

Actor = Annotated[
    str | None, typer.Option(metavar="HANDLE", help="Only actions of this user.", callback=checked_handle)
]
Package = Annotated[str | None, typer.Option(metavar="NAME", help="Only actions on this package.")]
Action = Annotated[str | None, typer.Option(help="Only this action: publish, yank, owner_added, ….")]


def _checked_moment(value: str | None) -> str | None:
    if value is not None:
        _moment(value)
    return value


def _moment(value: str) -> datetime:
    """The moment that a day or an RFC 3339 time means; UTC if it has no offset. Raises BadParameter."""
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise typer.BadParameter("write a day or a time: 2027-01-31, or 2027-01-31T00:00:00Z") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


Since = Annotated[
    str | None,
    typer.Option(
        metavar="DAY|TIME",
        help="Only actions since this time, in UTC: 2027-01-31, or 2027-01-31T00:00:00Z.",
        callback=_checked_moment,
    ),
]


def audit(
    actor: Actor = None,
    package: Package = None,
    action: Action = None,
    since: Since = None,
    as_json: AsJson = False,
) -> None:
    """Print audit events, oldest first, one per line; with --json as JSON."""
    from deploy.administration import queries

    if action is not None and action not in (known := ask(queries.actions)):
        raise typer.BadParameter(
            f'no event has the action "{action}"; the actions so far are {", ".join(known) or "none"}',
            param_hint="--action",
        )
    from_then = None if since is None else _moment(since)
    print_rows(
        lambda tx: queries.events(tx, actor=actor, package=package, action=action, since=from_then),
        _line,
        as_json,
        HEADING,
    )


def _line(event: EventRow) -> str:
    what = " ".join(filter(None, (event.package_name, event.package_version)))
    details = " ".join(f"{name}={_text(value)}" for name, value in event.details.items())
    time = moment(event.created_at)
    return LAYOUT.format(time, event.actor or "-", event.action, what or "-", details).rstrip()


def _text(value: object) -> str:
    """A value of the details: text as it is, lists with commas, and anything else as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return ",".join(map(_text, value))
    return render_json(value)
