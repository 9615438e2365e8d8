"""`x07-registry webhook`: who hears of changes, what was sent to them, and why something did not arrive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from deploy.cli.administration import By, act, moment, print_done, print_rows
from deploy.cli.options import AsJson, print_json

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncConnection

    from api.write.queries.webhooks import Delivery, Webhook
    from api.write.webhooks import Changes

app = typer.Typer(
    help="Add, list, change, test and remove webhooks, which hear of changes.", no_args_is_help=True
)
LAYOUT = "{!s:<36}  {:<7}  {:<48}  {:<24}  {:<24}  {}"
HEADING = LAYOUT.format("ID", "STATE", "URL", "PACKAGE", "OWNER", "EVENTS")
DELIVERIES_LAYOUT = "{!s:<36}  {:<9}  {:>8}  {}"
DELIVERIES_HEADING = DELIVERIES_LAYOUT.format("MESSAGE", "STATE", "ATTEMPTS", "EVENT")


def _checked_events(value: str | None) -> str | None:
    if value is None:
        return None
    from shared.webhooks import WebhookEvent

    known = [str(event) for event in WebhookEvent]
    events = [event.strip() for event in value.split(",") if event.strip()]
    if not events or not set(events) <= set(known):
        raise typer.BadParameter(f"comma-separated, of {', '.join(known)}")
    return ",".join(events)


Url = Annotated[str, typer.Argument(metavar="URL", help="The https address to post to.")]
HookId = Annotated[UUID, typer.Argument(metavar="ID", help="As `webhook list` shows it.")]
Events = Annotated[
    str | None,
    typer.Option(help="Comma-separated events.", show_default="all events", callback=_checked_events),
]
Package = Annotated[
    str | None, typer.Option(metavar="NAME", help="Only this package.", show_default="all packages")
]


@app.command("list")
def list_webhooks(as_json: AsJson = False) -> None:
    """List everybody's webhooks, oldest first, with their state and why they are failing."""
    print_rows(_webhooks, _line, as_json, HEADING)


@app.command()
def add(
    url: Url, events: Events = None, package: Package = None, by: By = None, as_json: AsJson = False
) -> None:
    """Add a webhook, for all packages or one. Its secret is printed once."""
    from api.write.webhooks import add_webhook
    from shared.names import parse_name
    from shared.webhooks import WebhookEvent

    name = None if package is None else parse_name(package)
    wanted = [WebhookEvent(event) for event in events.split(",")] if events else list(WebhookEvent)
    added = act(by, lambda services, caller: add_webhook(services, caller, url, wanted, name))
    _print_secret(as_json, added.webhook.id, added.secret)


@app.command()
def rotate(hook_id: HookId, by: By = None, as_json: AsJson = False) -> None:
    """Make another secret, and print it once. Both sign for a day."""
    from api.write.webhooks import Changes

    secret = _change(hook_id, Changes(rotates_secret=True), by)
    _print_secret(as_json, hook_id, secret or "")


@app.command()
def on(hook_id: HookId, by: By = None, as_json: AsJson = False) -> None:
    """Send to a webhook again that is off or failing, beginning with what waits."""
    from api.write.webhooks import Changes

    _change(hook_id, Changes(active=True), by)
    print_done(as_json, f"{hook_id} is active", id=str(hook_id), active=True)


@app.command()
def off(hook_id: HookId, by: By = None, as_json: AsJson = False) -> None:
    """Send nothing to a webhook until it is on again. It does not hear of changes meanwhile."""
    from api.write.webhooks import Changes

    _change(hook_id, Changes(active=False), by)
    print_done(as_json, f"{hook_id} is off", id=str(hook_id), active=False)


@app.command("test")
def send_a_test(hook_id: HookId, by: By = None, as_json: AsJson = False) -> None:
    """Have a worker send a test event, once; `webhook deliveries` tells whether it arrived."""
    from api.write.webhooks import send_test

    message_id = str(act(by, lambda services, caller: send_test(services, caller, hook_id)))
    print_done(as_json, f"a worker sends the test {message_id}", id=str(hook_id), message_id=message_id)


@app.command()
def deliveries(hook_id: HookId, as_json: AsJson = False) -> None:
    """List the newest 100 events of a webhook, newest first, and why they did not arrive."""
    print_rows(lambda tx: _deliveries(tx, hook_id), _delivery_line, as_json, DELIVERIES_HEADING)


@app.command()
def remove(hook_id: HookId, by: By = None, as_json: AsJson = False) -> None:
    """Remove a webhook. What waits for it is not sent."""
    from api.write.webhooks import remove_webhook

    act(by, lambda services, caller: remove_webhook(services, caller, hook_id))
    print_done(as_json, f"removed {hook_id}", removed=str(hook_id))


def _change(hook_id: UUID, changes: Changes, by: str | None) -> str | None:
    from api.write.webhooks import change_webhook

    _, secret = act(by, lambda services, caller: change_webhook(services, caller, hook_id, changes))
    return secret


def _print_secret(as_json: bool, hook_id: UUID, secret: str) -> None:
    if as_json:
        print_json({"ok": True, "id": str(hook_id), "secret": secret})
    else:
        print(f"id      {hook_id}\nsecret  {secret}")


async def _webhooks(tx: AsyncConnection) -> AsyncIterator[Webhook]:
    from api.write.queries.webhooks import of_user

    for hook in await of_user(tx, None):
        yield hook


async def _deliveries(tx: AsyncConnection, hook_id: UUID) -> AsyncIterator[Delivery]:
    from api.write.queries import webhooks
    from api.write.webhooks import DELIVERIES_SHOWN

    for delivery in await webhooks.deliveries(tx, hook_id, DELIVERIES_SHOWN):
        yield delivery


def _line(hook: Webhook) -> str:
    failure = "" if hook.failing_since is None else f"  since {moment(hook.failing_since)}: {hook.failure}"
    events = f"{','.join(hook.events)}{failure}"
    return LAYOUT.format(hook.id, hook.state, hook.url, hook.package or "*", hook.owner, events)


def _delivery_line(row: Delivery) -> str:
    subject = f"  {row.data['package']}" if "package" in row.data else ""
    error = "" if row.error is None else f"  {row.error}"
    return DELIVERIES_LAYOUT.format(row.message_id, row.state, row.attempts, f"{row.type}{subject}{error}")
