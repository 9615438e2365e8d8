"""Webhooks: owners hear of their packages, admins of all. indexer/webhooks delivers (docs/webhooks.md)."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from api.write.package_change import require_owner
from api.write.principal import Principal
from api.write.private_packages import require_seen
from api.write.queries import audit, packages
from api.write.queries import webhooks as rows
from api.write.queries.webhooks import Delivery, Webhook
from api.write.services import Services
from api.write.token_limits import covers
from shared.errors import Forbidden, NotFound
from shared.names import PackageName
from shared.settings import Settings
from shared.webhook_errors import TooManyWebhooks, WebhookUrlInvalid
from shared.webhooks import SECRET_PREFIX, AddressRefused, WebhookEvent, check_url

MAX_OF_USER: Final = 20
SECRET_BYTES: Final = 32
# How long both secrets sign after a rotation.
BOTH_SECRETS_S: Final = 24 * 3600
DELIVERIES_SHOWN: Final = 100

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Secret:
    """A webhook and its new secret, which no later request can read."""

    webhook: Webhook
    secret: str


@dataclass(frozen=True, slots=True)
class Changes:
    """What to change of a webhook; None: leave it."""

    url: str | None = None
    events: Sequence[WebhookEvent] | None = None
    active: bool | None = None
    rotates_secret: bool = False


async def webhooks_of(services: Services, caller: Principal) -> list[Webhook]:
    """The caller's webhooks, or everybody's for an admin; oldest first."""
    async with services.database.transaction() as tx:
        found = await rows.of_user(tx, None if caller.is_admin else caller.user_id)
    return [hook for hook in found if _may_use(caller, hook)]


async def add_webhook(
    services: Services,
    caller: Principal,
    url: str,
    events: Sequence[WebhookEvent],
    name: PackageName | None,
) -> Secret:
    """Add a webhook for one package, or for all that the caller owns or administers.

    Raises WebhookUrlInvalid, NotFound (package), Forbidden, TooManyWebhooks.
    """
    checked, secret = checked_url(services.settings, url), new_secret()
    if name is not None:
        await require_seen(services, caller, name, NotFound.package(name))
    async with services.database.transaction() as tx:
        await _require_package(tx, caller, name)
        if await rows.count(tx, caller.user_id) >= MAX_OF_USER:
            raise TooManyWebhooks(f"you have {MAX_OF_USER} webhooks; remove one first")
        hook_id = await rows.add(
            tx,
            caller.user_id,
            url=checked,
            events=_sorted(events),
            package=name,
            of_all=caller.is_admin,
            secret=secret,
        )
        hook = await _get(tx, caller, hook_id)
        await _record(tx, caller, "webhook_added", hook)
    return Secret(hook, secret)


async def change_webhook(
    services: Services, caller: Principal, hook_id: UUID, changes: Changes
) -> tuple[Webhook, str | None]:
    """Change a webhook. Returns it, and its new secret if that was asked for.

    One that is set to active starts again, even if it was failing. Raises WebhookUrlInvalid, NotFound.
    """
    secret = new_secret() if changes.rotates_secret else None
    values: dict[str, Any] = {}
    if changes.url is not None:
        values["url"] = checked_url(services.settings, changes.url)
    if changes.events is not None:
        values["events"] = _sorted(changes.events)
    if changes.active is False:
        values["is_active"] = False
    async with services.database.transaction() as tx:
        await _get(tx, caller, hook_id)
        if values:
            await rows.change(tx, hook_id, **values)
        if changes.active:
            await rows.start_again(tx, hook_id)
        if secret is not None:
            await rows.rotate(tx, hook_id, secret, BOTH_SECRETS_S)
        hook = await _get(tx, caller, hook_id)
        await _record(tx, caller, "webhook_changed", hook, active=hook.is_active, rotated=secret is not None)
    if changes.active:
        await services.notifier.deliver_webhooks()
    return hook, secret


async def remove_webhook(services: Services, caller: Principal, hook_id: UUID) -> None:
    """Remove a webhook; what waits for it is not sent. Raises NotFound."""
    async with services.database.transaction() as tx:
        hook = await _get(tx, caller, hook_id)
        await rows.remove(tx, hook_id)
        await _record(tx, caller, "webhook_removed", hook)


async def send_test(services: Services, caller: Principal, hook_id: UUID) -> UUID:
    """Have a test event sent, once, also to a webhook that is failing or not active. Returns its message id.

    Raises NotFound.
    """
    async with services.database.transaction() as tx:
        await _get(tx, caller, hook_id)
        message_id = await rows.add_test(tx, hook_id)
    await services.notifier.deliver_webhooks()
    return message_id


async def deliveries_of(services: Services, caller: Principal, hook_id: UUID) -> list[Delivery]:
    """The newest events of a webhook, newest first. Raises NotFound."""
    async with services.database.transaction() as tx:
        await _get(tx, caller, hook_id)
        return await rows.deliveries(tx, hook_id, DELIVERIES_SHOWN)


def new_secret() -> str:
    """A secret in the form of Standard Webhooks: 32 random bytes."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def checked_url(settings: Settings, url: str) -> str:
    """The URL in its normal form. Raises WebhookUrlInvalid."""
    try:
        return check_url(
            url,
            allows_http=settings.webhooks_allow_http,
            allows_private=settings.webhooks_allow_private,
        )
    except AddressRefused as error:
        raise WebhookUrlInvalid(str(error)) from None


def _sorted(events: Sequence[WebhookEvent]) -> list[str]:
    return sorted(set(map(str, events)))


async def _require_package(tx: AsyncConnection, caller: Principal, name: PackageName | None) -> None:
    """Raise NotFound or Forbidden unless the caller may hear of the package, or of all for None."""
    if name is not None:
        await require_owner(tx, caller, await packages.get(tx, name))
    elif caller.limits.packages is not None:
        raise Forbidden("this token is limited to certain packages; name one of them as the package")


async def _get(tx: AsyncConnection, caller: Principal, hook_id: UUID) -> Webhook:
    """A webhook that the caller may use. Another one is NotFound, so that nobody can look for ids."""
    hook = await rows.find(tx, hook_id)
    if hook is None or not _may_use(caller, hook):
        raise NotFound("webhook not found")
    return hook


def _may_use(caller: Principal, hook: Webhook) -> bool:
    """True for the webhook's user and admins, with a token that is not limited to other packages."""
    limits = caller.limits.packages
    is_within = limits is None or (hook.package is not None and covers(limits, hook.package))
    return is_within and (caller.is_admin or hook.user_id == caller.user_id)


async def _record(tx: AsyncConnection, caller: Principal, action: str, hook: Webhook, **details: Any) -> None:
    await audit.record(
        tx,
        action,
        user_id=caller.user_id,
        token_id=caller.token_id,
        package=hook.package,
        details={"id": str(hook.id), "url": hook.url, "events": list(hook.events), **details},
    )
    log.info(action, webhook_id=str(hook.id))
