"""The packages that require a package: GET /v1/packages/{name}/dependents, and conflicts of a publish."""

from __future__ import annotations

from typing import Any

import httpx

from tests.archives import hello_archive
from tests.stack import Registry


async def publish(
    registry: Registry, headers: dict[str, str], name: str, version: str = "0.1.0", *requires: Any
) -> httpx.Response:
    """Publish a version with requirements, and wait until it is visible."""
    meta = {"x07c_compat": "*", "requires_packages": list(requires)}
    answer = await registry.publish(hello_archive(name, version, meta=meta), headers)
    assert answer.headers["x-x07-index-published"] == "true", answer.text
    return answer


async def dependents(registry: Registry, query: str = "") -> list[tuple[str, str, str]]:
    """The dependents of `core`."""
    answer = await registry.http.get(f"/v1/packages/core/dependents{query}")
    assert answer.status_code == 200, answer.text
    return [tuple(row.values()) for row in answer.json()["dependents"]]


async def test_dependents_are_listed_by_name(fs_registry: Registry) -> None:
    """The list has the version and the requirement as written, compared byte for byte."""
    headers = await fs_registry.add_publisher()
    await publish(fs_registry, headers, "core")
    await publish(fs_registry, headers, "b", "0.2.0", "core@>=0.1.0 <0.2.0", "other@1.0.0")
    await publish(fs_registry, headers, "a", "0.1.0", " core @ 0.1.0 ")
    answer = await fs_registry.http.get("/v1/packages/core/dependents")
    assert answer.text == (
        '{"ok":true,"name":"core","limit":20,"offset":0,"total":2,"dependents":['
        '{"package":"a","version":"0.1.0","requirement":"0.1.0"},'
        '{"package":"b","version":"0.2.0","requirement":">=0.1.0 <0.2.0"}]}'
    )


async def test_dependents_are_paged(fs_registry: Registry) -> None:
    """The total does not depend on the page; a page after the end is empty."""
    headers = await fs_registry.add_publisher()
    await publish(fs_registry, headers, "core")
    for name in ("c", "a", "b"):
        await publish(fs_registry, headers, name, "0.1.0", "core@*")
    assert [row[0] for row in await dependents(fs_registry, "?limit=2")] == ["a", "b"]
    assert [row[0] for row in await dependents(fs_registry, "?limit=2&offset=2")] == ["c"]
    for query in ("?offset=3", "?offset=4294967295", "?limit=0"):
        answer = (await fs_registry.http.get(f"/v1/packages/core/dependents{query}")).json()
        assert (answer["total"], answer["dependents"]) == (3, [])


async def test_only_the_latest_version_requires(fs_registry: Registry) -> None:
    """An older version published later changes nothing; a newer one without the requirement does."""
    headers = await fs_registry.add_publisher()
    await publish(fs_registry, headers, "core")
    await publish(fs_registry, headers, "user", "0.2.0", "core@0.1.0")
    await publish(fs_registry, headers, "user", "0.1.0", "core@0.0.1")
    assert await dependents(fs_registry) == [("user", "0.2.0", "0.1.0")]
    await publish(fs_registry, headers, "user", "0.3.0")
    assert await dependents(fs_registry) == []


NOT_LISTED = [
    ("nobody/dependents", 404, "X07REG_NOT_FOUND"),
    ("No/dependents", 400, "X07REG_INVALID_NAME"),
    ("core/dependents?limit=-1", 400, "X07REG_BAD_REQUEST"),
    ("core/dependents?offset=1&offset=1", 400, "X07REG_BAD_REQUEST"),
]


async def test_what_cannot_be_listed_is_refused(fs_registry: Registry) -> None:
    """This covers an unknown package, a bad name and bad paging."""
    for path, status, code in NOT_LISTED:
        answer = await fs_registry.http.get(f"/v1/packages/{path}")
        assert (answer.status_code, answer.json()["code"]) == (status, code), path


async def test_a_publish_names_the_packages_that_it_leaves_behind(fs_registry: Registry) -> None:
    """They are the packages whose latest version does not accept the new one, by name, latest or not."""
    headers = await fs_registry.add_publisher()
    assert "rdep_conflicts" not in (await publish(fs_registry, headers, "core", "0.1.0")).json()
    await publish(fs_registry, headers, "pinned", "1.0.0", "core@0.1.0")
    await publish(fs_registry, headers, "ranged", "1.0.0", "core@>=0.1.0 <0.2.0")
    await publish(fs_registry, headers, "open", "1.0.0", "core@*")
    patch = await publish(fs_registry, headers, "core", "0.1.1")
    pinned = {"package": "pinned", "version": "1.0.0", "requirement": "0.1.0"}
    ranged = {"package": "ranged", "version": "1.0.0", "requirement": ">=0.1.0 <0.2.0"}
    assert list(patch.json())[-1] == "rdep_conflicts"
    assert patch.json()["rdep_conflicts"] == [pinned]
    assert (await publish(fs_registry, headers, "core", "0.2.0")).json()["rdep_conflicts"] == [pinned, ranged]
    assert (await publish(fs_registry, headers, "core", "0.1.2")).json()["rdep_conflicts"] == [pinned]
    await publish(fs_registry, headers, "pinned", "1.0.1", "core@^0.2")
    assert (await publish(fs_registry, headers, "core", "0.2.1")).json()["rdep_conflicts"] == [ranged]


async def test_a_package_is_not_in_conflict_with_itself(fs_registry: Registry) -> None:
    """A package may require itself."""
    headers = await fs_registry.add_publisher()
    await publish(fs_registry, headers, "core", "0.1.0", "core@0.1.0")
    answer = await publish(fs_registry, headers, "core", "0.2.0", "core@0.1.0")
    assert "rdep_conflicts" not in answer.json()


async def test_junk_requirements_do_not_keep_a_version_from_readers(fs_registry: Registry) -> None:
    """They are not checked at publish, and are ignored."""
    headers = await fs_registry.add_publisher()
    await publish(fs_registry, headers, "core")
    junk = ["core", "@", "core@", "core@nonsense", "Core@1.0.0", "core@" + "9" * 1000, 7, None, {"core": "1"}]
    await publish(fs_registry, headers, "user", "0.1.0", *junk, "core@0.1.0", "core@0.1.0")
    assert await dependents(fs_registry) == [("user", "0.1.0", "0.1.0")]
