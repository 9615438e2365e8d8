"""One package cannot fill lists of packages: limits at publish, in listings, and of whole answers."""

from __future__ import annotations

from typing import Any

import pytest

from shared.blobs import CATALOG_KEY
from shared.manifest_limits import (
    MAX_DESCRIPTION_BYTES,
    MAX_DOCS_BYTES,
    MAX_ENTRIES,
    MAX_FACET_BYTES,
    MAX_FACETS,
    MAX_TEXT_BYTES,
)
from tests.archives import hello_archive, hello_manifest
from tests.listings import LIST_PACKAGES
from tests.stack import Registry, eventually

COMPAT = {"x07c_compat": ">=0.1.111 <0.3.0"}
MIB = 1 << 20


def meta(**fields: Any) -> dict[str, Any]:
    """Overrides of a manifest with these keys added to meta."""
    return {"meta": {**COMPAT, **fields}}


LARGEST: dict[str, dict[str, Any]] = {
    "description": {"description": "\u20ac" * (MAX_DESCRIPTION_BYTES // 3) + "xx"},
    "docs": {"docs": "d" * MAX_DOCS_BYTES},
    "license": {"license": "l" * MAX_TEXT_BYTES},
    "text of a key nobody knows": {"readme": "r" * MAX_TEXT_BYTES},
    "text deep in meta": meta(a={"b": [["c" * MAX_TEXT_BYTES]]}),
    "key": meta(**{"k" * MAX_TEXT_BYTES: 1}),
    "requirements": meta(requires_packages=["hello@^1"] * MAX_ENTRIES),
    "list in a list": meta(a=[[0] * MAX_ENTRIES]),
    "keys": {"x": {f"k{number}": number for number in range(MAX_ENTRIES)}},
    "facets": meta(facets=[f"f{number}" for number in range(MAX_FACETS)]),
    "facet": meta(archetype="a" * (MAX_FACET_BYTES - len("archetype:"))),
}
TOO_LARGE: dict[str, dict[str, Any]] = {
    "description": {"description": "\u20ac" * (MAX_DESCRIPTION_BYTES // 3 + 1)},
    "docs": {"docs": "d" * (MAX_DOCS_BYTES + 1)},
    "license": {"license": "l" * (MAX_TEXT_BYTES + 1)},
    "text of a key nobody knows": {"readme": "r" * (MAX_TEXT_BYTES + 1)},
    "text deep in meta": meta(a={"b": [["c" * (MAX_TEXT_BYTES + 1)]]}),
    "key": meta(**{"k" * (MAX_TEXT_BYTES + 1): 1}),
    "requirements": meta(requires_packages=["hello@^1"] * (MAX_ENTRIES + 1)),
    "list in a list": meta(a=[[0] * (MAX_ENTRIES + 1)]),
    "keys": {"x": {f"k{number}": number for number in range(MAX_ENTRIES + 1)}},
    "modules": {"modules": ["greeting"] * (MAX_ENTRIES + 1)},
    "facets": meta(facets=[f"f{number}" for number in range(MAX_FACETS + 1)]),
    "facets of several keys": meta(
        archetypes=[f"f{number}" for number in range(MAX_FACETS // 2 + 1)],
        runtimes=[f"f{number}" for number in range(MAX_FACETS // 2 + 1)],
    ),
    "facet": meta(archetype="a" * (MAX_FACET_BYTES - len("archetype:") + 1)),
}


@pytest.mark.parametrize("fields", LARGEST.values(), ids=LARGEST)
async def test_a_manifest_at_a_limit_is_published_whole(
    fs_registry: Registry, fields: dict[str, Any]
) -> None:
    """Limits count bytes of UTF-8; text within them is listed unchanged."""
    answer = await fs_registry.publish(hello_archive(**fields), await fs_registry.add_publisher())
    assert answer.status_code == 200, answer.text
    (listed,) = (await fs_registry.http.get("/v1/search?q=hello")).json()["packages"]
    in_catalog = await fs_registry.until_in_catalog("hello", "0.1.0")
    expected = fields.get("description", "Says hello.")
    assert (listed["description"], in_catalog["description"]) == (expected, expected)
    assert in_catalog["docs"] == fields.get("docs", "Call greeting.hello.")
    facets = (await fs_registry.http.get("/v1/packages/hello/0.1.0/metadata")).json().get("facets")
    assert listed.get("facets") == in_catalog.get("facets") == facets


async def test_a_manifest_past_a_limit_is_refused_and_told_where(fs_registry: Registry) -> None:
    """It is one byte or one entry too long; nothing of it is stored."""
    headers = await fs_registry.add_publisher()
    for name, fields in TOO_LARGE.items():
        answer = await fs_registry.publish(hello_archive(**fields), headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "X07REG_BAD_MANIFEST"), name
        assert "at most" in answer.json()["message"]
        assert len(answer.content) < 2000
    assert await fs_registry.keys("staging/") == await fs_registry.keys("dl/") == []


async def test_older_texts_are_cut_in_listings_at_a_character_and_whole_in_their_own_files(
    fs_registry: Registry,
) -> None:
    """Catalog, search and archetypes have the beginning; index file and metadata have the whole text."""
    assert (await fs_registry.publish(hello_archive(), await fs_registry.add_publisher())).status_code == 200
    description, docs = "x" + "\U0001f600" * 250_000, "y" + "\u20ac" * 250_000
    facets = [f"f{number:04d}" for number in range(2000)] + ["g" * 1000]
    texts = {"description": description, "docs": docs}
    await fs_registry.store_manifest("hello", hello_manifest(**texts, **meta(facets=facets, archetype="cli")))

    async def in_the_next_catalog() -> dict[str, Any] | None:
        package = await fs_registry.until_in_catalog("hello", "0.1.0")
        return package if package["description"] != "Says hello." else None

    in_catalog = await eventually(in_the_next_catalog)
    (listed,) = (await fs_registry.http.get("/v1/search?q=hello")).json()["packages"]
    (group,) = (await fs_registry.http.get("/v1/archetypes")).json()["archetypes"]
    for text in (in_catalog["description"], listed["description"], group["packages"][0]["description"]):
        assert description.startswith(text)
        assert MAX_DESCRIPTION_BYTES - 4 < len(text.encode()) <= MAX_DESCRIPTION_BYTES
    assert docs.startswith(in_catalog["docs"])
    assert MAX_DOCS_BYTES - 4 < len(in_catalog["docs"].encode()) <= MAX_DOCS_BYTES
    assert listed["facets"] == in_catalog["facets"]
    assert "archetype:cli" in listed["facets"]
    assert len(listed["facets"]) == MAX_FACETS
    line = (await fs_registry.http.get("/index/he/ll/hello?x07_refresh=1")).json()
    assert (line["description"], line["docs"]) == (description, docs)
    package = (await fs_registry.http.get("/v1/packages/hello/0.1.0/metadata?x07_refresh=1")).json()
    assert (package["package"]["description"], len(package["facets"])) == (description, 2002)
    stored = await fs_registry.storage.head(CATALOG_KEY)
    assert stored is not None
    assert stored.size_bytes < 100_000


MISLEADING: dict[str, dict[str, Any]] = {
    "U+001B": {"description": "Says \x1b[2Jhello."},
    "U+202E": {"description": "Says \u202eolleh."},
    "U+0001": {"docs": "\x01" * 100},
    "U+0085": {"docs": "a\x85b"},
    "U+200F": meta(archetype="cli\u200f"),
    "U+000A": meta(facets=["a\nb"]),
}


async def test_text_that_listings_cannot_show_is_refused(fs_registry: Registry) -> None:
    """Terminal escapes and bidirectional text; each character takes six bytes in the catalog."""
    headers = await fs_registry.add_publisher()
    for character, fields in MISLEADING.items():
        answer = await fs_registry.publish(hello_archive(**fields), headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "X07REG_BAD_MANIFEST"), answer.text
        assert character in answer.json()["message"]


async def test_texts_may_have_lines_and_columns(fs_registry: Registry) -> None:
    """Texts of real packages have them, with any kind of line end."""
    text = "# Hello\r\n\n- a\tb\n"
    archive = hello_archive(description=text, docs=text)
    assert (await fs_registry.publish(archive, await fs_registry.add_publisher())).status_code == 200
    in_catalog = await fs_registry.until_in_catalog("hello", "0.1.0")
    assert (in_catalog["description"], in_catalog["docs"]) == (text, text)


async def test_older_texts_of_control_characters_take_little_and_mislead_nobody_in_listings(
    fs_registry: Registry,
) -> None:
    """Lists show U+FFFD for each; the package's own files are unchanged."""
    assert (await fs_registry.publish(hello_archive(), await fs_registry.add_publisher())).status_code == 200
    texts = {"description": "a\x1b[2J\u202eb", "docs": "c\n" + "\x01" * MAX_DOCS_BYTES}
    await fs_registry.store_manifest("hello", hello_manifest(**texts, **meta(facets=["\x1b", "f"])))

    async def in_the_next_catalog() -> dict[str, Any] | None:
        package = await fs_registry.until_in_catalog("hello", "0.1.0")
        return package if package["description"] != "Says hello." else None

    in_catalog = await eventually(in_the_next_catalog)
    (listed,) = (await fs_registry.http.get("/v1/search?q=hello")).json()["packages"]
    assert in_catalog["description"] == listed["description"] == "a\ufffd[2J\ufffdb"
    assert in_catalog["facets"] == listed["facets"] == ["f"]
    assert in_catalog["docs"].startswith("c\n\ufffd")
    stored = await fs_registry.storage.head(CATALOG_KEY)
    assert stored is not None
    assert stored.size_bytes < MAX_DOCS_BYTES + 1000
    line = (await fs_registry.http.get("/index/he/ll/hello?x07_refresh=1")).json()
    assert (line["description"], line["docs"]) == (texts["description"], texts["docs"])


@pytest.mark.parametrize("character", ["x", "\u20ac", "\U0001f600", '"', "\x01"])
async def test_every_answer_of_a_search_is_bounded_whatever_the_rows_hold(
    fs_registry: Registry, character: str
) -> None:
    """The rows were written by an older worker, a megabyte each: all names are listed, texts if they fit."""
    await fs_registry.add_user("alice")
    word = character * (80 // len(character.encode()))
    facets = [f"{number:03d}{word}" for number in range(500)] + [character * 20_000]
    await fs_registry.rows(LIST_PACKAGES, packages=100, description=character * 200_000, facets=facets)
    answer = await fs_registry.http.get("/v1/search?q=pack&limit=100")
    assert answer.status_code == 200
    assert len(answer.content) < MIB
    body = answer.json()
    names = [f"pack-{number:03d}" for number in range(1, 101)]
    assert (body["total"], [package["name"] for package in body["packages"]]) == (100, names)
    first, last = body["packages"][0], body["packages"][-1]
    assert 0 < len(first["description"].encode()) <= MAX_DESCRIPTION_BYTES
    assert len(first.get("facets", ())) <= MAX_FACETS
    assert last == {"name": "pack-100", "latest_version": "1.0.0", "is_official": False, "modules_count": 1}
    for path in ("/v1/archetypes", "/v1/archetypes/cli", "/v1/archetypes?q=pack&limit=1"):
        answer = await fs_registry.http.get(path)
        assert answer.status_code == 200
        assert len(answer.content) < MIB
        groups = answer.json().get("archetypes", [answer.json()])
        assert {group["package_count"] for group in groups} == {100}
        for group in groups:
            assert group["packages"][0]["name"] == "pack-001"


async def test_a_page_of_ordinary_packages_is_told_in_full(fs_registry: Registry) -> None:
    """A hundred descriptions at the limit fit into one answer."""
    await fs_registry.add_user("alice")
    text = "x" * MAX_DESCRIPTION_BYTES
    await fs_registry.rows(LIST_PACKAGES, packages=100, description=text, facets=["archetype:cli"])
    packages = (await fs_registry.http.get("/v1/search?limit=100")).json()["packages"]
    assert [package["description"] for package in packages] == [text] * 100
    assert [package["facets"] for package in packages] == [["archetype:cli"]] * 100
