"""Owners of a package over HTTP: listing, adding and removing them; the last one stays."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.archives import hello_archive
from tests.audit import Event, events
from tests.indexer.upkeep.walks import settle
from tests.stack import Registry

OWNERS = "/v1/packages/hello/owners"


async def published_by(registry: Registry, handle: str = "alice") -> dict[str, str]:
    """Publish `hello`. Returns its owner's headers."""
    headers = await registry.add_publisher(handle, "publish", "owner.manage")
    answer = await registry.publish(hello_archive(), headers)
    assert answer.status_code == 200, answer.text
    return headers


async def add(registry: Registry, headers: dict[str, str], handle: Any) -> httpx.Response:
    """The answer to adding an owner."""
    return await registry.http.post(OWNERS, json={"handle": handle}, headers=headers)


async def remove(registry: Registry, headers: dict[str, str], handle: str) -> httpx.Response:
    """The answer to removing an owner."""
    return await registry.http.delete(f"{OWNERS}/{handle}", headers=headers)


async def owners(registry: Registry) -> list[str]:
    """The owners of the package."""
    handles: list[str] = (await registry.http.get(OWNERS)).json()["owners"]
    return handles


async def generation(registry: Registry) -> int:
    """The package's generation."""
    return int((await registry.rows("SELECT generation FROM index_state"))[0].generation)


async def test_an_owner_is_added_and_may_publish(fs_registry: Registry) -> None:
    """No consent is needed; the change is recorded, and published on the package's page."""
    alice = await published_by(fs_registry)
    bob = await fs_registry.add_publisher("bob")
    before = await generation(fs_registry)

    answer = await add(fs_registry, alice, " Bob ")

    assert (answer.status_code, answer.content) == (200, b'{"ok":true}')
    assert answer.headers["x-x07-index-published"] == "true"
    listed = await fs_registry.http.get(OWNERS)
    assert listed.content == b'{"ok":true,"name":"hello","is_official":false,"owners":["alice","bob"]}'
    assert await events(fs_registry) == [Event("alice", "owner_added", "hello", None, {"handle": "bob"})]
    assert await generation(fs_registry) == before + 1
    assert (await fs_registry.publish(hello_archive(version="0.2.0"), bob)).status_code == 200


async def test_adding_an_owner_again_changes_nothing_and_is_recorded(fs_registry: Registry) -> None:
    """The answer equals the first one."""
    alice = await published_by(fs_registry)
    for _ in range(2):
        assert (await add(fs_registry, alice, "alice")).status_code == 200
    assert await owners(fs_registry) == ["alice"]
    assert [event.action for event in await events(fs_registry)] == ["owner_added", "owner_added"]


async def test_handles_are_listed_in_byte_order(fs_registry: Registry) -> None:
    """This holds for any collation of the database."""
    alice = await published_by(fs_registry)
    for handle in ("b_c", "b-d", "bb", "9", "_x"):
        await fs_registry.add_user(handle)
        assert (await add(fs_registry, alice, handle)).status_code == 200
    assert await owners(fs_registry) == ["9", "_x", "alice", "b-d", "b_c", "bb"]


async def test_a_removed_owner_may_not_publish(fs_registry: Registry) -> None:
    """An owner may remove the creator; the change is recorded."""
    alice = await published_by(fs_registry)
    bob = await fs_registry.add_publisher("bob", "owner.manage")
    await add(fs_registry, alice, "bob")

    answer = await remove(fs_registry, bob, "Alice")

    assert (answer.status_code, answer.content) == (200, b'{"ok":true}')
    assert await owners(fs_registry) == ["bob"]
    assert (await events(fs_registry))[1:] == [
        Event("bob", "owner_removed", "hello", None, {"handle": "alice"})
    ]
    refused = await fs_registry.publish(hello_archive(version="0.2.0"), alice)
    assert (refused.status_code, refused.json()["message"]) == (403, "not a package owner")


async def test_the_last_owner_stays(fs_registry: Registry) -> None:
    """Even an admin cannot remove it; two owners may remove themselves, but not both."""
    alice = await published_by(fs_registry)
    root = await fs_registry.add_publisher("root", "admin", "owner.manage")
    for headers in (alice, root):
        answer = await remove(fs_registry, headers, "alice")
        assert (answer.status_code, answer.json()["code"]) == (403, "X07REG_FORBIDDEN")
        assert answer.json()["message"] == "cannot remove last owner"
    assert await owners(fs_registry) == ["alice"]
    assert await events(fs_registry) == []


async def test_two_owners_who_leave_at_once_do_not_leave_the_package_alone(fs_registry: Registry) -> None:
    """Because of the package lock, one of them leaves first, and the other is then the last."""
    alice = await published_by(fs_registry)
    bob = await fs_registry.add_publisher("bob", "owner.manage")
    await add(fs_registry, alice, "bob")
    answers = await asyncio.gather(remove(fs_registry, alice, "alice"), remove(fs_registry, bob, "bob"))
    assert sorted(answer.status_code for answer in answers) == [200, 403]
    assert len(await owners(fs_registry)) == 1


async def test_an_owner_added_many_times_at_once_is_one_owner(fs_registry: Registry) -> None:
    """Each call is recorded."""
    alice = await published_by(fs_registry)
    await fs_registry.add_user("bob")
    answers = await asyncio.gather(*(add(fs_registry, alice, "bob") for _ in range(8)))
    assert {answer.status_code for answer in answers} == {200}
    assert await owners(fs_registry) == ["alice", "bob"]
    assert len(await events(fs_registry)) == 8


async def test_the_official_owner_makes_a_package_official_for_readers(fs_registry: Registry) -> None:
    """Catalog, metadata, detail and owners change when it is added and when it is removed."""
    alice = await published_by(fs_registry)
    official = fs_registry.settings.official_handle
    await fs_registry.add_user(official)
    await fs_registry.until_in_catalog("hello", "0.1.0")

    async def official_to_readers() -> set[bool]:
        metadata = await fs_registry.http.get("/v1/packages/hello/0.1.0/metadata")
        detail = await fs_registry.http.get("/v1/packages/hello")
        listed = await fs_registry.http.get(OWNERS)
        return {answer.json()["is_official"] for answer in (metadata, detail, listed)}

    assert await official_to_readers() == {False}
    for change, is_official in ((add, True), (remove, False), (add, True)):
        before = await generation(fs_registry)
        answer = await change(fs_registry, alice, official)
        assert (answer.status_code, answer.headers["x-x07-index-published"]) == (200, "true")
        assert await generation(fs_registry) == before + 1
        assert await official_to_readers() == {is_official}
        await until_official(fs_registry, is_official)
    before = await generation(fs_registry)
    await add(fs_registry, alice, official)
    assert await generation(fs_registry) == before


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_a_package_that_was_official_for_a_moment_is_not_afterwards(
    workerless_registry: Registry,
) -> None:
    """A worker put the documents of the official package, and lost its connection before its commit."""
    registry = workerless_registry
    alice = await published_by(registry)
    official = registry.settings.official_handle
    await registry.add_user(official)
    await settle(registry)
    [row] = await registry.rows("SELECT metadata_digest FROM version_state")
    assert (await add(registry, alice, official)).status_code == 200
    await settle(registry)
    await registry.rows("UPDATE index_state SET published_generation = generation - 1 RETURNING 1")
    await registry.rows(
        "UPDATE version_state SET metadata_digest = :digest RETURNING 1", digest=row.metadata_digest
    )
    assert (await remove(registry, alice, official)).status_code == 200
    await settle(registry)
    metadata = await registry.http.get("/v1/packages/hello/0.1.0/metadata")
    assert metadata.json()["is_official"] is False


async def until_official(registry: Registry, is_official: bool) -> None:
    """Wait until the catalog marks the package as official."""
    async with asyncio.timeout(60):
        while (await registry.until_in_catalog("hello", "0.1.0"))["is_official"] is not is_official:
            await asyncio.sleep(0.02)


async def test_only_owners_and_admins_change_owners(fs_registry: Registry) -> None:
    """The refusal of a stranger does not reveal whether the user exists."""
    await published_by(fs_registry)
    mallory = await fs_registry.add_publisher("mallory", "owner.manage")
    root = await fs_registry.add_publisher("root", "admin", "owner.manage")
    for answer in (
        await add(fs_registry, mallory, "mallory"),
        await add(fs_registry, mallory, "nobody"),
        await remove(fs_registry, mallory, "alice"),
        await remove(fs_registry, mallory, "nobody"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "X07REG_FORBIDDEN")
        assert answer.json()["message"] == "not a package owner"
    assert (await add(fs_registry, root, "root")).status_code == 200
    assert (await remove(fs_registry, root, "alice")).status_code == 200
    assert await owners(fs_registry) == ["root"]


async def test_users_and_owners_that_are_not_there(fs_registry: Registry) -> None:
    """There are three kinds of 404, with different messages."""
    package = 'package "nothing" not found'
    alice = await published_by(fs_registry)
    await fs_registry.add_user("bob")
    for answer, message in (
        (await add(fs_registry, alice, "nobody"), "user not found"),
        (await add(fs_registry, alice, "n" * 5000), "user not found"),
        (await remove(fs_registry, alice, "nobody"), "user not found"),
        (await remove(fs_registry, alice, "bob"), "owner not found"),
        (await fs_registry.http.get("/v1/packages/nothing/owners"), package),
        (
            await fs_registry.http.post("/v1/packages/nothing/owners", json={"handle": "bob"}, headers=alice),
            package,
        ),
        (await fs_registry.http.delete("/v1/packages/nothing/owners/bob", headers=alice), package),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "X07REG_NOT_FOUND")
        assert answer.json()["message"] == message
    assert await events(fs_registry) == []


BAD_HANDLES = ["", "  ", "b ob", "bøb", "a/b", "bob\0", "<bob>"]


async def test_a_handle_that_breaks_the_rule_is_400(fs_registry: Registry) -> None:
    """It is checked before the package is looked up, in body and path, like the package's name."""
    headers = await fs_registry.add_publisher("alice", "owner.manage")
    for handle in BAD_HANDLES:
        answer = await add(fs_registry, headers, handle)
        assert (answer.status_code, answer.json()["code"]) == (400, "X07REG_INVALID_NAME"), handle
        if handle.strip() and "/" not in handle:
            answer = await remove(fs_registry, headers, quote(handle))
            assert (answer.status_code, answer.json()["code"]) == (400, "X07REG_INVALID_NAME"), handle
        for method in ("GET", "POST"):
            answer = await fs_registry.http.request(
                method, "/v1/packages/Hello/owners", headers=headers, json={"handle": "bob"}
            )
            assert (answer.status_code, answer.json()["code"]) == (400, "X07REG_INVALID_NAME")


MISSHAPEN = [{}, {"handle": None}, {"handle": ["bob"]}, ["bob"], 7]


async def test_a_body_of_another_shape_is_422(fs_registry: Registry) -> None:
    """It is refused before any look-up."""
    headers = await fs_registry.add_publisher("alice", "owner.manage")
    for body in MISSHAPEN:
        answer = await fs_registry.http.post(OWNERS, json=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "X07REG_UNPROCESSABLE_BODY")


async def test_owners_are_changed_with_their_scope_only(fs_registry: Registry) -> None:
    """`admin` does not include it; everybody may list."""
    caller = await fs_registry.add_publisher("alice", "admin", "publish", "token.manage")
    assert (await fs_registry.publish(hello_archive(), caller)).status_code == 200
    for answer in (await add(fs_registry, caller, "alice"), await remove(fs_registry, caller, "alice")):
        assert (answer.status_code, answer.json()["message"]) == (403, "missing scope: owner.manage")
    for answer in (await add(fs_registry, {}, "alice"), await remove(fs_registry, {}, "alice")):
        assert (answer.status_code, answer.json()["code"]) == (401, "X07REG_AUTH_REQUIRED")
    assert await owners(fs_registry) == ["alice"]
