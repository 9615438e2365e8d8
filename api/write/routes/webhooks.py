"""Webhooks: GET and POST /v1/webhooks, PATCH and DELETE …/{id}, POST …/{id}/test, GET …/{id}/deliveries."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from api.write import webhooks as domain
from api.write.endpoint import Auth, Endpoints, Scope
from api.write.json_body import StoredText, decode_body, json_response
from api.write.path_params import path_uuid
from api.write.principal import Principal
from api.write.queries.webhooks import Delivery, Webhook
from api.write.rate_limits import Attempt
from api.write.routes.account import OkResponse
from api.write.services import services_of
from shared.errors import BadRequest, Forbidden, NotFound
from shared.names import parse_name
from shared.publish_errors import InvalidName
from shared.timestamps import render_timestamp
from shared.webhook_errors import TooManyWebhooks, WebhookUrlInvalid
from shared.webhooks import MAX_URL_BYTES, WebhookEvent

Url = Annotated[StoredText, msgspec.Meta(max_length=MAX_URL_BYTES)]
Events = Annotated[tuple[WebhookEvent, ...], msgspec.Meta(min_length=1, max_length=len(WebhookEvent))]

route = Endpoints()


class AddWebhookRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook to add. url: https. package: absent for all that you own or, for an admin, for all."""

    url: Url
    events: Events
    package: str | UnsetType = UNSET


class ChangeWebhookRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to change; absent fields stay. active: true starts a failing webhook again.

    rotate_secret: true makes another secret; both sign for a day.
    """

    url: Url | UnsetType = UNSET
    events: Events | UnsetType = UNSET
    active: bool | UnsetType = UNSET
    rotate_secret: bool = False


class WebhookInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook without its secret. package: null for every package of its owner, or of all if of_all.

    state: `failing` when it could not be reached for a day, since failing_since and for the reason in
    failure; `off` when it was set to be inactive. previous_secret_until: until then, two secrets sign.
    """

    id: str
    url: str
    events: tuple[str, ...]
    package: str | None
    of_all: bool
    owner: str
    state: Literal["active", "failing", "off"]
    failing_since: str | None
    failure: str | None
    previous_secret_until: str | None
    created_at: str


class AddWebhookResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A new webhook. secret: what signs its messages, which no later request can read."""

    ok: bool = True
    id: str
    secret: str
    webhook: WebhookInfo


class ChangeWebhookResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The webhook as it is now. secret: the new one, null unless it was rotated."""

    ok: bool = True
    webhook: WebhookInfo
    secret: str | None


class WebhooksResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The caller's webhooks, or everybody's for an admin, oldest first."""

    ok: bool = True
    webhooks: tuple[WebhookInfo, ...]


class TestWebhookResponse(msgspec.Struct, frozen=True, kw_only=True):
    """message_id: of the test event; the deliveries tell whether it arrived."""

    ok: bool = True
    message_id: str


class DeliveryInfo(msgspec.Struct, frozen=True, kw_only=True):
    """An event for a webhook. state: `waiting`, `delivered`, or `failed` for a test that did not arrive.

    status: of the last answer, null if there was none. error: why the last attempt failed. next_attempt_at:
    null when there is none.
    """

    message_id: str
    type: str
    data: dict[str, Any]
    created_at: str
    state: Literal["waiting", "delivered", "failed"]
    attempts: int
    last_attempt_at: str | None
    next_attempt_at: str | None
    status: int | None
    error: str | None


class DeliveriesResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The newest 100 events of a webhook, newest first."""

    ok: bool = True
    deliveries: tuple[DeliveryInfo, ...]


@route.get("/v1/webhooks", auth=Auth.EITHER, scope=Scope.OWNER_MANAGE, response=WebhooksResponse)
async def webhooks(request: Request, caller: Principal) -> Response:
    """The webhooks of the caller; an admin sees everybody's."""
    found = await domain.webhooks_of(services_of(request), caller)
    return json_response(WebhooksResponse(webhooks=tuple(map(_told, found))))


@route.post(
    "/v1/webhooks",
    auth=Auth.EITHER,
    scope=Scope.OWNER_MANAGE,
    request=AddWebhookRequest,
    response=AddWebhookResponse,
    errors=(WebhookUrlInvalid, InvalidName, NotFound, Forbidden, TooManyWebhooks),
    limited=Attempt.WEBHOOK,
)
async def add_webhook(request: Request, caller: Principal) -> Response:
    """Have changes of packages told to a URL (docs/webhooks.md)."""
    body = await decode_body(request, AddWebhookRequest)
    name = None if body.package is UNSET else parse_name(body.package)
    added = await domain.add_webhook(services_of(request), caller, body.url, body.events, name)
    hook = _told(added.webhook)
    return json_response(AddWebhookResponse(id=hook.id, secret=added.secret, webhook=hook))


@route.patch(
    "/v1/webhooks/{id}",
    auth=Auth.EITHER,
    scope=Scope.OWNER_MANAGE,
    request=ChangeWebhookRequest,
    response=ChangeWebhookResponse,
    errors=(BadRequest, WebhookUrlInvalid, NotFound),
    limited=Attempt.WEBHOOK,
)
async def change_webhook(request: Request, caller: Principal) -> Response:
    """Change a webhook, turn it off or on, or rotate its secret."""
    body = await decode_body(request, ChangeWebhookRequest)
    changes = domain.Changes(
        url=body.url or None,
        events=body.events or None,
        active=None if body.active is UNSET else body.active,
        rotates_secret=body.rotate_secret,
    )
    hook_id = path_uuid(request, "id")
    hook, secret = await domain.change_webhook(services_of(request), caller, hook_id, changes)
    return json_response(ChangeWebhookResponse(webhook=_told(hook), secret=secret))


@route.delete(
    "/v1/webhooks/{id}",
    auth=Auth.EITHER,
    scope=Scope.OWNER_MANAGE,
    response=OkResponse,
    errors=(BadRequest, NotFound),
)
async def remove_webhook(request: Request, caller: Principal) -> Response:
    """Remove a webhook; what waits for it is not sent."""
    await domain.remove_webhook(services_of(request), caller, path_uuid(request, "id"))
    return json_response(OkResponse())


@route.post(
    "/v1/webhooks/{id}/test",
    auth=Auth.EITHER,
    scope=Scope.OWNER_MANAGE,
    response=TestWebhookResponse,
    errors=(BadRequest, NotFound),
    limited=Attempt.WEBHOOK,
)
async def test_webhook(request: Request, caller: Principal) -> Response:
    """Have a test event sent, once."""
    message_id = await domain.send_test(services_of(request), caller, path_uuid(request, "id"))
    return json_response(TestWebhookResponse(message_id=str(message_id)))


@route.get(
    "/v1/webhooks/{id}/deliveries",
    auth=Auth.EITHER,
    scope=Scope.OWNER_MANAGE,
    response=DeliveriesResponse,
    errors=(BadRequest, NotFound),
)
async def deliveries(request: Request, caller: Principal) -> Response:
    """What was sent to a webhook, what waits, and why something failed."""
    found = await domain.deliveries_of(services_of(request), caller, path_uuid(request, "id"))
    return json_response(DeliveriesResponse(deliveries=tuple(map(_delivery, found))))


def _told(hook: Webhook) -> WebhookInfo:
    ended = None if hook.failing_since is None else render_timestamp(hook.failing_since)
    until = None if hook.previous_until is None else render_timestamp(hook.previous_until)
    return WebhookInfo(
        id=str(hook.id),
        url=hook.url,
        events=tuple(hook.events),
        package=hook.package,
        of_all=hook.of_all,
        owner=hook.owner,
        state=hook.state,
        failing_since=ended,
        failure=hook.failure,
        previous_secret_until=until,
        created_at=render_timestamp(hook.created_at),
    )


def _delivery(row: Delivery) -> DeliveryInfo:
    return DeliveryInfo(
        message_id=str(row.message_id),
        type=row.type,
        data=row.data,
        created_at=render_timestamp(row.created_at),
        state=row.state,
        attempts=row.attempts,
        last_attempt_at=None if row.tried_at is None else render_timestamp(row.tried_at),
        next_attempt_at=None if row.done_at is not None else render_timestamp(row.due_at),
        status=row.status,
        error=row.error,
    )
