"""Yanking over HTTP: the index, the latest version, and the right to yank."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.write.yank import latest_after
from shared.versions import greatest
from tests.archives import hello_archive
from tests.audit import Event, events
from tests.http.publishing import published
from tests.stack import Registry


async def yank(
    registry: Registry, headers: dict[str, str], version: str = "0.1.0", yanked: Any = True
) -> httpx.Response:
    """The answer to yanking or restoring."""
    path = f"/v1/packages/hello/{version}/yank"
    return await registry.http.post(path, json={"yanked": yanked}, headers=headers)


async def yanked_in_index(registry: Registry) -> dict[str, bool]:
    """Each version of the index file, and whether it is yanked."""
    lines = (await registry.http.get("/index/he/ll/hello")).text.splitlines()
    entries = [httpx.Response(200, text=line).json() for line in lines]
    return {entry["version"]: entry["yanked"] for entry in entries}


async def latest(registry: Registry) -> str | None:
    """The latest version of the package."""
    version: str | None = (await registry.http.get("/v1/packages/hello")).json()["latest_version"]
    return version


async def test_a_yanked_version_is_marked_and_stays_downloadable(fs_registry: Registry) -> None:
    """It checks answer, index, catalog, download and audit log."""
    alice = await published(fs_registry)

    answer = await yank(fs_registry, alice)

    assert answer.status_code == 200
    assert answer.content == b'{"ok":true,"name":"hello","version":"0.1.0","yanked":true}'
    assert answer.headers["x-x07-index-published"] == "true"
    assert await yanked_in_index(fs_registry) == {"0.1.0": True}
    download = await fs_registry.http.get("/v1/packages/hello/0.1.0/download")
    assert download.content == hello_archive()
    assert await latest(fs_registry) is None
    in_catalog = await fs_registry.until_in_catalog("hello", None)
    assert "latest" not in in_catalog
    assert "description" not in in_catalog
    assert await events(fs_registry) == [Event("alice", "yank", "hello", "0.1.0", {})]


async def test_a_restored_version_is_as_it_was_before(fs_registry: Registry) -> None:
    """The index file has its former bytes, and the version is the latest again."""
    alice = await published(fs_registry)
    before = await fs_registry.http.get("/index/he/ll/hello")
    await yank(fs_registry, alice)
    answer = await yank(fs_registry, alice, yanked=False)
    assert answer.content == b'{"ok":true,"name":"hello","version":"0.1.0","yanked":false}'
    after = await fs_registry.http.get("/index/he/ll/hello")
    assert (after.content, after.headers["etag"]) == (before.content, before.headers["etag"])
    await fs_registry.until_in_catalog("hello", "0.1.0")
    assert [event.action for event in await events(fs_registry)] == ["yank", "unyank"]


async def test_a_yanked_latest_falls_back_to_the_greatest_version_left(fs_registry: Registry) -> None:
    """Pre-releases count.

    Yanking another version changes nothing; a restored greater one becomes the latest.
    """
    alice = await published(fs_registry, "0.1.0", "1.0.0-rc.1", "0.10.0", "1.0.0")
    for version, yanked, expected in (
        ("0.1.0", True, "1.0.0"),
        ("1.0.0", True, "1.0.0-rc.1"),
        ("1.0.0-rc.1", True, "0.10.0"),
        ("0.1.0", False, "0.10.0"),
        ("0.10.0", True, "0.1.0"),
        ("0.1.0", True, None),
        ("0.10.0", False, "0.10.0"),
        ("1.0.0", False, "1.0.0"),
        ("1.0.0-rc.1", False, "1.0.0"),
    ):
        assert (await yank(fs_registry, alice, version, yanked)).status_code == 200
        assert await latest(fs_registry) == expected, (version, yanked)
    await fs_registry.until_in_catalog("hello", "1.0.0")
    assert await yanked_in_index(fs_registry) == {
        "0.1.0": True,
        "0.10.0": False,
        "1.0.0-rc.1": False,
        "1.0.0": False,
    }


VERSIONS = ("0.1.0", "0.2.0-rc.1", "0.2.0", "0.2.0+build.2")


@given(st.lists(st.tuples(st.sampled_from(VERSIONS), st.booleans()), max_size=8))
def test_the_latest_version_is_always_the_greatest_that_is_not_yanked(
    changes: list[tuple[str, bool]],
) -> None:
    """This holds after any sequence of yanks and restores."""
    left, latest_version = set(VERSIONS), greatest(VERSIONS)
    for version, yanked in changes:
        (left.discard if yanked else left.add)(version)
        latest_version = latest_after(version, yanked, latest_version, left)
        assert latest_version == greatest(left)


async def test_a_latest_that_is_no_version_gives_way_to_a_restored_one(fs_registry: Registry) -> None:
    """An old row may have such a value."""
    alice = await published(fs_registry)
    await yank(fs_registry, alice)
    await fs_registry.rows("UPDATE packages SET latest_version = 'v9' RETURNING 1")
    await yank(fs_registry, alice, yanked=False)
    assert await latest(fs_registry) == "0.1.0"


async def test_yanking_again_changes_nothing_and_is_recorded(fs_registry: Registry) -> None:
    """The answer is the same, there is no new generation, and another event is recorded."""
    alice = await published(fs_registry, "0.1.0", "0.2.0")
    first = await yank(fs_registry, alice)
    generation = await fs_registry.rows("SELECT generation FROM index_state")
    again = await yank(fs_registry, alice)
    assert (again.status_code, again.content) == (200, first.content)
    assert again.headers["x-x07-index-published"] == "true"
    assert await fs_registry.rows("SELECT generation FROM index_state") == generation
    assert [event.action for event in await events(fs_registry)] == ["yank", "yank"]


async def test_versions_yanked_at_once_are_all_yanked(fs_registry: Registry) -> None:
    """The package lock orders them, so that no latest version is wrong."""
    versions = ("0.1.0", "0.2.0", "0.3.0", "0.4.0")
    alice = await published(fs_registry, *versions)
    answers = await asyncio.gather(*(yank(fs_registry, alice, version) for version in versions[1:]))
    assert {answer.status_code for answer in answers} == {200}
    assert await latest(fs_registry) == "0.1.0"
    assert await yanked_in_index(fs_registry) == {version: version != "0.1.0" for version in versions}


async def test_a_yank_and_a_restore_at_once_leave_index_and_rows_alike(fs_registry: Registry) -> None:
    """It does not matter which of them is last."""
    alice = await published(fs_registry)
    await asyncio.gather(*(yank(fs_registry, alice, yanked=bool(turn % 2)) for turn in range(10)))
    (row,) = await fs_registry.rows("SELECT yanked FROM package_versions")
    assert await yanked_in_index(fs_registry) == {"0.1.0": row.yanked}
    assert await latest(fs_registry) == (None if row.yanked else "0.1.0")


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_a_yank_answers_even_if_no_worker_runs(workerless_registry: Registry) -> None:
    """The answer is 200, and its header says that readers do not see it yet; this includes repeated yanks."""
    alice = await published(workerless_registry)
    for _ in range(2):
        answer = await yank(workerless_registry, alice)
        assert (answer.status_code, answer.headers["x-x07-index-published"]) == (200, "false")


async def test_only_owners_and_admins_yank(fs_registry: Registry) -> None:
    """The refusal does not reveal whether the version exists."""
    await published(fs_registry)
    mallory = await fs_registry.add_publisher("mallory", "owner.manage")
    root = await fs_registry.add_publisher("root", "admin", "owner.manage")
    for version in ("0.1.0", "9.9.9"):
        answer = await yank(fs_registry, mallory, version)
        assert (answer.status_code, answer.json()["message"]) == (403, "not a package owner")
    assert (await yank(fs_registry, root)).status_code == 200
    assert [event.actor for event in await events(fs_registry)] == ["root"]


NOT_THERE = [
    ("/v1/packages/nothing/0.1.0/yank", 404, "X07REG_NOT_FOUND"),
    ("/v1/packages/hello/0.1.1/yank", 404, "X07REG_NOT_FOUND"),
    ("/v1/packages/Hello/1/yank", 400, "X07REG_INVALID_NAME"),
    ("/v1/packages/hello/1/yank", 400, "X07REG_INVALID_VERSION"),
    ("/v1/packages/hello/0.1.0%00/yank", 400, "X07REG_INVALID_VERSION"),
]


async def test_what_is_not_there_is_not_yanked(fs_registry: Registry) -> None:
    """The order is name, version, package, version of the package."""
    alice = await published(fs_registry)
    for path, status, code in NOT_THERE:
        answer = await fs_registry.http.post(path, json={"yanked": True}, headers=alice)
        assert (answer.status_code, answer.json()["code"]) == (status, code), path
    assert await events(fs_registry) == []


NOT_BOOLEANS = [None, "true", 1, 0, [], {}]


async def test_yanked_is_a_boolean(fs_registry: Registry) -> None:
    """No other value is accepted."""
    alice = await fs_registry.add_publisher("alice", "owner.manage")
    for yanked in NOT_BOOLEANS:
        answer = await yank(fs_registry, alice, yanked=yanked)
        assert (answer.status_code, answer.json()["code"]) == (422, "X07REG_UNPROCESSABLE_BODY")


async def test_yanking_needs_its_scope(fs_registry: Registry) -> None:
    """`admin` does not include it."""
    caller = await fs_registry.add_publisher("alice", "admin", "publish", "token.manage")
    answer = await yank(fs_registry, caller)
    assert (answer.status_code, answer.json()["message"]) == (403, "missing scope: owner.manage")
    answer = await yank(fs_registry, {})
    assert (answer.status_code, answer.json()["code"]) == (401, "X07REG_AUTH_REQUIRED")
