"""Webhooks hear of changes: of the right packages, signed, in order, after readers see them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from shared.webhooks import WebhookEvent
from tests.archives import hello_archive
from tests.audit import events as audit_events
from tests.conftest import MakeSettings
from tests.receiver import ALLOWED, Receiver, answering, waiting_for
from tests.stack import ALL_SCOPES, Registry, bearer, eventually, running_registry, serving

ALL = [str(event) for event in WebhookEvent]
OWNER = ("publish", "owner.manage")
Headers = dict[str, str]


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver on loopback."""
    receiver = Receiver()
    async with serving(receiver.app) as receiver.url:
        yield receiver


@pytest_asyncio.fixture
async def hooked(make_default_settings: MakeSettings) -> AsyncIterator[Registry]:
    """A registry with a worker, whose webhooks may lead to loopback."""
    settings = await make_default_settings(
        **ALLOWED, catalog_debounce_seconds=0.02, sweep_seconds=0.5, publish_wait_seconds=20
    )
    async with running_registry(settings) as running:
        yield running


async def add(registry: Registry, headers: Headers, url: str, **body: Any) -> tuple[str, str]:
    """Add a webhook for all events, unless the body names others. Returns its id and secret."""
    answer = await registry.http.post(
        "/v1/webhooks", json={"url": url, "events": ALL, **body}, headers=headers
    )
    assert answer.status_code == 200, answer.text
    return answer.json()["id"], answer.json()["secret"]


async def listed(registry: Registry, headers: Headers) -> list[dict[str, Any]]:
    """The webhooks that a caller sees."""
    found: list[dict[str, Any]] = (await registry.http.get("/v1/webhooks", headers=headers)).json()[
        "webhooks"
    ]
    return found


async def deliveries(registry: Registry, headers: Headers, hook_id: str) -> list[dict[str, Any]]:
    """The deliveries of a webhook, newest first."""
    answer = await registry.http.get(f"/v1/webhooks/{hook_id}/deliveries", headers=headers)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["deliveries"]
    return found


async def until_received(receiver: Receiver, count: int) -> None:
    """Wait for so many events."""

    async def has_come() -> bool:
        return len(receiver.received) >= count

    await eventually(has_come)


async def change_everything(registry: Registry, headers: Headers) -> None:
    """Make each kind of change that a route makes, and some calls that change nothing."""
    http, version = registry.http, "/v1/packages/hello/0.1.0"
    await registry.add_user("bob")
    assert (await registry.publish(hello_archive(), headers)).status_code == 200
    for yanked in (True, True, False):
        await http.post(f"{version}/yank", json={"yanked": yanked}, headers=headers)
    advisory = {"kind": "broken", "severity": "high", "summary": "It breaks."}
    made = (await http.post(f"{version}/advisories", json=advisory, headers=headers)).json()
    for _ in range(2):
        path = f"{version}/advisories/{made['advisory']['id']}/withdraw"
        assert (await http.post(path, headers=headers)).status_code == 200
    for _ in range(2):
        await http.post("/v1/packages/hello/owners", json={"handle": "bob"}, headers=headers)
    await http.delete("/v1/packages/hello/owners/bob", headers=headers)


async def test_an_owner_hears_of_every_change_once_in_order_and_signed(
    hooked: Registry, receiver: Receiver
) -> None:
    """The library of Standard Webhooks verifies each; what changes nothing is not told."""
    alice = await hooked.add_publisher("alice", *OWNER)
    _, secret = await add(hooked, alice, receiver.url)
    await change_everything(hooked, alice)
    await until_received(receiver, 7)

    assert [event["type"] for event in receiver.verified(secret)] == [
        "version.published",
        "version.yanked",
        "version.restored",
        "advisory.created",
        "advisory.withdrawn",
        "owner.added",
        "owner.removed",
    ]
    version = {"package": "hello", "version": "0.1.0"}
    assert receiver.events[0]["data"] == version
    created = receiver.events[3]["data"]
    assert created.pop("advisory_id") == receiver.events[4]["data"]["advisory_id"]
    assert created == {**version, "kind": "broken", "severity": "high", "summary": "It breaks."}
    assert receiver.events[5]["data"] == {"package": "hello", "handle": "bob"}
    assert len({headers["webhook-id"] for headers, _ in receiver.received}) == 7
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + "A" * 44).verify(receiver.received[0][1], receiver.received[0][0])


async def test_what_an_event_tells_is_visible_before_it_is_told(hooked: Registry, receiver: Receiver) -> None:
    """A receiver that reads the index at once finds the version."""
    alice = await hooked.add_publisher("alice", *OWNER)
    await add(hooked, alice, receiver.url)
    seen: list[str] = []

    async def look(_: Any) -> Any:
        seen.append((await hooked.http.get("/index/he/ll/hello?x07_refresh=1")).text)
        return await answering(200)(_)

    receiver.answer = look
    for version in ("0.1.0", "0.2.0"):
        await hooked.publish(hello_archive(version=version), alice)
    await until_received(receiver, 2)
    await eventually(
        lambda: hooked.rows("SELECT 1 FROM webhook_deliveries WHERE done_at IS NOT NULL OFFSET 1")
    )
    for (_, version), index in zip(receiver.told, seen, strict=True):
        assert f'"version":"{version}"' in index


async def test_each_hook_hears_of_its_packages_and_events(hooked: Registry, receiver: Receiver) -> None:
    """Owners of theirs, one package of it alone, admins of all, and nobody of what they did not ask for."""
    alice = await hooked.add_publisher("alice", *OWNER)
    bob = await hooked.add_publisher("bob", *OWNER)
    admin = bearer(await hooked.add_token(await hooked.add_user("root"), *ALL_SCOPES))
    for headers, name in ((alice, "hello"), (bob, "other")):
        await hooked.publish(hello_archive(name), headers)
    hooks = {}
    for who, headers, body in (
        ("alice", alice, {}),
        ("alice, one", alice, {"package": "hello"}),
        ("alice, yanks", alice, {"events": ["version.yanked"]}),
        ("bob", bob, {}),
        ("root", admin, {}),
        ("root, one", admin, {"package": "other"}),
    ):
        hooks[who] = headers, (await add(hooked, headers, receiver.url, **body))[0]
    await hooked.publish(hello_archive("hello", "0.2.0"), alice)
    await hooked.publish(hello_archive("other", "0.2.0"), bob)
    await hooked.publish(hello_archive("more", "0.2.0"), alice)
    await until_received(receiver, 8)
    told = {
        who: sorted(one["data"]["package"] for one in await deliveries(hooked, headers, hook_id))
        for who, (headers, hook_id) in hooks.items()
    }
    assert told == {
        "alice": ["hello", "more"],
        "alice, one": ["hello"],
        "alice, yanks": [],
        "bob": ["other"],
        "root": ["hello", "more", "other"],
        "root, one": ["other"],
    }


async def test_nobody_sees_or_changes_the_webhooks_of_others(hooked: Registry, receiver: Receiver) -> None:
    """Not even that they exist; an admin does; a token for other packages does not."""
    alice_id = await hooked.add_user("alice")
    alice = bearer(await hooked.add_token(alice_id, *OWNER))
    bob = await hooked.add_publisher("bob", *OWNER)
    admin = bearer(await hooked.add_token(await hooked.add_user("root"), *ALL_SCOPES))
    await hooked.publish(hello_archive(), alice)
    hook_id, _ = await add(hooked, alice, receiver.url)
    path, http = f"/v1/webhooks/{hook_id}", hooked.http
    aimed = {"scopes": ["owner.manage"], "packages": ["acme-*"]}
    maker = bearer(await hooked.add_token(alice_id, "token.manage", "owner.manage"))
    narrow = bearer((await http.post("/v1/tokens", json=aimed, headers=maker)).json()["token"])

    for headers in (bob, narrow):
        for answer in (
            await http.patch(path, json={"active": False}, headers=headers),
            await http.delete(path, headers=headers),
            await http.post(f"{path}/test", headers=headers),
            await http.get(f"{path}/deliveries", headers=headers),
        ):
            assert (answer.status_code, answer.json()["code"]) == (404, "X07REG_NOT_FOUND")
        assert await listed(hooked, headers) == []
    for headers, body in ((bob, {"package": "hello"}), (narrow, {}), (narrow, {"package": "hello"})):
        answer = await http.post(
            "/v1/webhooks", json={"url": receiver.url, "events": ALL, **body}, headers=headers
        )
        assert (answer.status_code, answer.json()["code"]) == (403, "X07REG_FORBIDDEN")
    (told,) = await listed(hooked, admin)
    assert (told["id"], told["owner"], told["of_all"], told["state"]) == (hook_id, "alice", False, "active")
    assert "secret" not in told
    assert (await http.delete(path, headers=admin)).status_code == 200
    assert await listed(hooked, alice) == []
    actions = [event.action for event in await audit_events(hooked) if event.action.startswith("webhook")]
    assert actions == ["webhook_added", "webhook_removed"]


async def test_after_a_rotation_both_secrets_verify(hooked: Registry, receiver: Receiver) -> None:
    """So a receiver may change over without a gap; another rotation ends the oldest."""
    alice = await hooked.add_publisher("alice", *OWNER)
    hook_id, first = await add(hooked, alice, receiver.url)
    path, http = f"/v1/webhooks/{hook_id}", hooked.http
    secrets = [first]
    for _ in range(2):
        rotated = (await http.patch(path, json={"rotate_secret": True}, headers=alice)).json()
        secrets.append(rotated["secret"])
        assert rotated["webhook"]["previous_secret_until"] is not None
    assert (await http.post(f"{path}/test", headers=alice)).status_code == 200
    await until_received(receiver, 1)

    assert receiver.verified(secrets[2]) == receiver.verified(secrets[1]) == receiver.events
    assert receiver.events[0]["type"] == "webhook.test"
    with pytest.raises(WebhookVerificationError):
        receiver.verified(secrets[0])
    await hooked.rows("UPDATE webhooks SET previous_until = now() RETURNING 1")
    await http.post(f"{path}/test", headers=alice)
    await until_received(receiver, 2)
    assert len(receiver.received[1][0]["webhook-signature"].split()) == 1


async def test_what_fails_is_tried_again_and_nothing_of_the_package_passes_it(
    hooked: Registry, receiver: Receiver
) -> None:
    """The same message until it arrives; then the next one of the package; other packages do not wait."""
    alice = await hooked.add_publisher("alice", *OWNER)
    hook_id, secret = await add(hooked, alice, receiver.url)
    failing = {"left": 2}

    async def refuse_the_first(request: Any) -> Any:
        is_first = b'"version":"0.1.0"' in await request.body() and b'"hello"' in await request.body()
        if is_first and failing["left"]:
            failing["left"] -= 1
            return await answering(500)(request)
        return await answering(200)(request)

    receiver.answer = refuse_the_first
    for name, version in (("hello", "0.1.0"), ("hello", "0.2.0"), ("other", "0.1.0")):
        await hooked.publish(hello_archive(name, version), alice)
    await until_received(receiver, 5)

    of_hello = [
        event["data"]["version"] for event in receiver.verified(secret) if event["data"]["package"] == "hello"
    ]
    assert of_hello == ["0.1.0", "0.1.0", "0.1.0", "0.2.0"]
    first = [headers for headers, body in receiver.received if b"0.1.0" in body and b"hello" in body]
    assert len({headers["webhook-id"] for headers in first}) == 1
    await eventually(lambda: all_arrived(hooked, alice, hook_id))
    shown = await deliveries(hooked, alice, hook_id)
    assert {(one["data"]["package"], one["data"]["version"]): one["attempts"] for one in shown} == {
        ("hello", "0.1.0"): 3,
        ("hello", "0.2.0"): 1,
        ("other", "0.1.0"): 1,
    }


async def all_arrived(registry: Registry, headers: Headers, hook_id: str) -> bool:
    """True if nothing waits."""
    return all(one["state"] == "delivered" for one in await deliveries(registry, headers, hook_id))


async def test_a_slow_receiver_delays_nobody_else(hooked: Registry, receiver: Receiver) -> None:
    """While one does not answer, another hears of the same and of later changes."""
    alice = await hooked.add_publisher("alice", *OWNER)
    is_over = asyncio.Event()
    slow = Receiver(answer=waiting_for(is_over))
    async with serving(slow.app) as slow.url:
        await add(hooked, alice, slow.url)
        await add(hooked, alice, receiver.url)
        for minor in range(1, 4):
            await hooked.publish(hello_archive(version=f"0.{minor}.0"), alice)
        await until_received(receiver, 3)
        assert set(slow.told) <= {("version.published", "0.1.0")}
        is_over.set()


async def test_after_a_day_a_webhook_is_failing_and_says_why_until_it_is_on_again(
    hooked: Registry, receiver: Receiver
) -> None:
    """What happens meanwhile waits, and comes in order; a test is sent even to a failing webhook."""
    alice = await hooked.add_publisher("alice", *OWNER)
    hook_id, _ = await add(hooked, alice, receiver.url)
    receiver.answer = answering(503)
    await hooked.publish(hello_archive(), alice)
    await until_received(receiver, 1)
    await hooked.rows(
        "UPDATE webhook_deliveries SET first_tried_at = now() - interval '1 day', due_at = now() RETURNING 1"
    )

    async def is_failing() -> bool:
        return (await listed(hooked, alice))[0]["state"] == "failing"

    await eventually(is_failing)
    assert (await listed(hooked, alice))[0]["failure"] == "status 503"
    await hooked.publish(hello_archive(version="0.2.0"), alice)
    receiver.received.clear()
    receiver.answer = None
    path = f"/v1/webhooks/{hook_id}"
    await hooked.http.post(f"{path}/test", headers=alice)
    await until_received(receiver, 1)
    assert receiver.told == [("webhook.test", "")]

    changed = await hooked.http.patch(path, json={"active": True}, headers=alice)
    assert changed.json()["webhook"]["state"] == "active"
    await until_received(receiver, 3)
    assert receiver.told[1:] == [("version.published", "0.1.0"), ("version.published", "0.2.0")]


async def test_a_test_that_fails_is_not_tried_again(hooked: Registry, receiver: Receiver) -> None:
    """Its sender sees why."""
    alice = await hooked.add_publisher("alice", *OWNER)
    hook_id, _ = await add(hooked, alice, receiver.url)
    receiver.answer = answering(418)
    answer = await hooked.http.post(f"/v1/webhooks/{hook_id}/test", headers=alice)

    async def has_failed() -> bool:
        return (await deliveries(hooked, alice, hook_id))[0]["state"] == "failed"

    await eventually(has_failed)
    (told,) = await deliveries(hooked, alice, hook_id)
    assert told["message_id"] == answer.json()["message_id"]
    assert (told["status"], told["error"], told["next_attempt_at"]) == (418, "status 418", None)


async def test_an_inactive_webhook_hears_of_nothing(hooked: Registry, receiver: Receiver) -> None:
    """It hears of what follows when it is on again, and of its new events at its new URL."""
    alice = await hooked.add_publisher("alice", *OWNER)
    hook_id, _ = await add(hooked, alice, f"{receiver.url}/old")
    path, http = f"/v1/webhooks/{hook_id}", hooked.http
    off = (await http.patch(path, json={"active": False}, headers=alice)).json()["webhook"]
    assert off["state"] == "off"
    await hooked.publish(hello_archive(), alice)
    body = {"active": True, "url": f"{receiver.url}/new", "events": ["version.yanked"]}
    changed = (await http.patch(path, json=body, headers=alice)).json()
    assert (changed["webhook"]["url"], changed["webhook"]["events"], changed["secret"]) == (
        f"{receiver.url}/new",
        ["version.yanked"],
        None,
    )
    await hooked.publish(hello_archive(version="0.2.0"), alice)
    await http.post("/v1/packages/hello/0.2.0/yank", json={"yanked": True}, headers=alice)
    await until_received(receiver, 1)
    assert receiver.told == [("version.yanked", "0.2.0")]


async def test_a_user_has_a_bounded_number_of_webhooks(hooked: Registry) -> None:
    """Each costs a row and a request for every change."""
    alice = await hooked.add_publisher("alice", *OWNER)
    for number in range(20):
        await add(hooked, alice, f"https://hooks.example/{number}")
    answer = await hooked.http.post(
        "/v1/webhooks", json={"url": "https://hooks.example/", "events": ALL}, headers=alice
    )
    assert (answer.status_code, answer.json()["code"]) == (409, "X07REG_TOO_MANY_WEBHOOKS")


async def test_an_address_inside_is_refused_with_a_code(fs_registry: Registry) -> None:
    """When it is added, and when a webhook is changed to it."""
    alice = await fs_registry.add_publisher("alice", *OWNER)
    hook_id, _ = await add(fs_registry, alice, "https://hooks.example/")
    for url in ("http://hooks.example/", "https://127.0.0.1/", "https://[::1]/", "https://169.254.169.254/"):
        body = {"url": url, "events": ALL}
        added = await fs_registry.http.post("/v1/webhooks", json=body, headers=alice)
        changed = await fs_registry.http.patch(f"/v1/webhooks/{hook_id}", json=body, headers=alice)
        for answer in (added, changed):
            assert (answer.status_code, answer.json()["code"]) == (400, "X07REG_WEBHOOK_URL_INVALID"), url


async def test_without_webhooks_nothing_is_written(fs_registry: Registry) -> None:
    """A registry without any has no events."""
    alice = await fs_registry.add_publisher("alice", *OWNER)
    await fs_registry.publish(hello_archive(), alice)
    assert await fs_registry.rows("SELECT 1 FROM webhook_events") == []


async def test_a_body_of_another_shape_is_refused(fs_registry: Registry) -> None:
    """422, as for other routes."""
    alice = await fs_registry.add_publisher("alice", *OWNER)
    url = "https://hooks.example/"
    for body in (
        {"url": url, "events": []},
        {"url": url, "events": ["version.eaten"]},
        {"url": 7, "events": ALL},
        {"events": ALL},
    ):
        answer = await fs_registry.http.post("/v1/webhooks", json=body, headers=alice)
        assert (answer.status_code, answer.json()["code"]) == (422, "X07REG_UNPROCESSABLE_BODY"), body
