"""The metadata document equals the older server's, whatever a row holds (contract, 2.3)."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.archives import build_archive, hello_archive, hello_manifest, json_bytes, listed_files
from tests.stack import Registry, eventually

PATH = "/v1/packages/hello/0.1.0/metadata"
CORRUPT = (500, "X07REG_META_CORRUPT", "stored manifest is corrupt")


def absent(name: str, version: str) -> tuple[int, str, str]:
    """The refusal of a missing version."""
    return 404, "X07REG_NOT_FOUND", f'version "{version}" of package "{name}" not found'


async def store(registry: Registry, manifest: Any) -> None:
    """Publish a version, then replace its manifest as the older server or foreign SQL may have left it."""
    answer = await registry.publish(hello_archive(), await publisher(registry))
    assert answer.status_code == 200, answer.text
    await registry.store_manifest("hello", manifest)


async def publisher(registry: Registry) -> dict[str, str]:
    """Headers of alice, who publishes every package here."""
    if not await registry.rows("SELECT 1 FROM users WHERE handle = 'alice'"):
        return await registry.add_publisher()
    (row,) = await registry.rows("SELECT id FROM users WHERE handle = 'alice'")
    return {"authorization": f"Bearer x07t_{row.id}_publish"}


async def refused(registry: Registry, path: str = PATH) -> tuple[int, str, str]:
    """Status, code and message of an error, after all readers have the latest bytes."""
    answer = await registry.http.get(path, params={"x07_refresh": "1"})
    return refusal(answer)


def refusal(answer: httpx.Response) -> tuple[int, str, str]:
    """Status, code and message of an error."""
    body = answer.json()
    return answer.status_code, body["code"], body["message"]


async def test_a_manifest_that_lacks_a_field_is_told_apart_from_an_absent_version(
    fs_registry: Registry,
) -> None:
    """The version is listed and can be downloaded; only its metadata is unavailable."""
    await store(fs_registry, hello_manifest())
    for lacking in ("schema_version", "name", "version", "module_root", "modules"):
        assert (await fs_registry.http.get(PATH, params={"x07_refresh": "1"})).status_code == 200
        manifest = hello_manifest()
        del manifest[lacking]
        await fs_registry.store_manifest("hello", manifest)
        assert await refused(fs_registry) == CORRUPT, lacking
        assert await refused(fs_registry, "/v1/packages/hello/0.2.0/metadata") == absent("hello", "0.2.0")
        assert await refused(fs_registry, "/v1/packages/other/0.1.0/metadata") == absent("other", "0.1.0")
        assert (await fs_registry.http.get("/v1/packages/hello/0.1.0/download")).status_code == 200
        assert json.loads((await fs_registry.http.get("/index/he/ll/hello")).text)["version"] == "0.1.0"
        await fs_registry.store_manifest("hello", hello_manifest())


async def test_a_corrupt_manifest_is_a_500_however_it_is_asked_for(registry: Registry) -> None:
    """The first and a cached answer, HEAD, and a client with an older copy get it; no cache stores it."""
    before = hello_archive()
    await registry.publish(before, await publisher(registry))
    etag = (await registry.http.get(PATH)).headers["etag"]
    await store_again(registry, {"name": "hello"})
    for headers in ({}, {}, {"if-none-match": etag}, {"if-none-match": "*"}, {"accept-encoding": "identity"}):
        answer = await registry.http.get(PATH, headers=headers)
        assert refusal(answer) == CORRUPT
        assert "etag" not in answer.headers
        assert "cache-control" not in answer.headers
    head = await registry.http.head(PATH)
    assert (head.status_code, head.content) == (500, b"")


async def test_a_manifest_that_was_mended_is_told_again(fs_registry: Registry) -> None:
    """The same holds in the other direction."""
    await store(fs_registry, {"name": "hello"})
    assert await refused(fs_registry) == CORRUPT
    await store_again(fs_registry, hello_manifest())
    answer = await fs_registry.http.get(PATH, params={"x07_refresh": "2"})
    assert (answer.status_code, answer.json()["package"]["name"]) == (200, "hello")


async def store_again(registry: Registry, manifest: Any) -> None:
    """Replace the manifest of an existing version, and wait until it is published."""
    await registry.store_manifest("hello", manifest)

    async def is_seen() -> bool:
        answer = await registry.http.get(PATH, params={"x07_refresh": "1"})
        return (answer.status_code == 200) == ("modules" in manifest)

    await eventually(is_seen)


FIELDS = ["x07.package@0.1.0", "hello", "Says hello.", "MIT", None, "0.1.0", "modules", ["greeting"]]
META = {"x07c_compat": "*", "archetype": "CLI"}
TOLD = (
    '"package":{"schema_version":"x07.package@0.1.0","name":"hello","description":"Says hello.",'
    '"license":"MIT","version":"0.1.0","module_root":"modules","modules":["greeting"]'
)


@pytest.mark.parametrize(
    ("manifest", "package", "facets"),
    [
        ([*FIELDS, META], TOLD + ',"meta":{"archetype":"CLI","x07c_compat":"*"}}', ["archetype:cli"]),
        ([*FIELDS, None], TOLD + "}", None),
        (FIELDS, TOLD + "}", None),
    ],
)
async def test_a_manifest_that_is_an_array_of_its_fields_keeps_its_metadata(
    fs_registry: Registry, manifest: list[Any], package: str, facets: list[str] | None
) -> None:
    """The older server accepted a manifest that is an array; its lists found no text in one."""
    await store(fs_registry, manifest)
    answer = await fs_registry.http.get(PATH, params={"x07_refresh": "1"})
    assert answer.status_code == 200, answer.text
    assert package in answer.text
    assert answer.json().get("facets") == facets
    assert "description" not in (await fs_registry.http.get("/index/he/ll/hello")).json()
    (listed,) = (await fs_registry.http.get("/v1/search?q=hello")).json()["packages"]
    assert "description" not in listed


async def test_a_manifest_that_is_no_object_and_no_such_array_is_corrupt(fs_registry: Registry) -> None:
    """It has too few or too many elements, wrong types, or is other JSON."""
    await store(fs_registry, hello_manifest())
    for manifest in ([], FIELDS[:7], [*FIELDS, META, 1], [1, *FIELDS[1:]], "text", 7, None):
        assert (await fs_registry.http.get(PATH, params={"x07_refresh": "1"})).status_code == 200
        await fs_registry.store_manifest("hello", manifest)
        assert await refused(fs_registry) == CORRUPT, manifest
        await fs_registry.store_manifest("hello", hello_manifest())


NUMBERS = {
    "18446744073709551615": "18446744073709551615",
    "-9223372036854775808": "-9223372036854775808",
    "18446744073709551616": "1.8446744073709552e19",
    "-9223372036854775809": "-9.223372036854776e18",
    "100000000000000000000": "1e20",
    "1e20": "1e20",
    "123456789012345678901234567890": "1.2345678901234568e29",
    "1e308": "1e308",
    "1.50": "1.5",
    "2.0": "2.0",
    "1e-7": "1e-7",
}


async def test_numbers_beyond_64_bits_are_written_as_floating_point(fs_registry: Registry) -> None:
    """The older server writes them like this too (contract, 1.8)."""
    numbers = ",".join(f'"n{place}":{written}' for place, written in enumerate(NUMBERS))
    text = json_bytes(hello_manifest())[:-2] + b"," + numbers.encode() + b"}}"
    archive = build_archive(None, listed_files(hello_manifest()), manifest_text=text)
    answer = await fs_registry.publish(archive, await publisher(fs_registry))
    assert answer.status_code == 200, answer.text
    metadata = (await fs_registry.http.get(PATH)).text
    told = {f'"n{place}":{shown}' for place, shown in enumerate(NUMBERS.values())}
    assert [each for each in told if f"{each}," not in metadata and f"{each}}}" not in metadata] == []
