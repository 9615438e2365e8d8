"""GET /v1/archetypes and /v1/archetypes/{name}."""

from __future__ import annotations

from typing import Any

from tests.archives import hello_archive, hello_manifest
from tests.stack import Registry

STARTERS: dict[str, dict[str, Any]] = {
    "web-starter": {"archetypes": ["Web", "service"]},
    "api": {"archetype": " web ", "facets": ["archetype:http api"]},
    "tool": {"archetype": "cli"},
    "plain": {},
}


async def publish_starters(registry: Registry) -> dict[str, str]:
    """Publish four packages, one without an archetype. Returns the publisher's headers."""
    headers = await registry.add_publisher()
    for name, meta in STARTERS.items():
        archive = hello_archive(name, description=f"The {name}. 100%!", meta={"x07c_compat": "*", **meta})
        answer = await registry.publish(archive, headers)
        assert answer.headers["x-x07-index-published"] == "true", answer.text
    return headers


async def listed(registry: Registry, **parameters: Any) -> dict[str, list[str]]:
    """Names of packages by archetype; also checks the counts."""
    answer = await registry.http.get("/v1/archetypes", params=parameters)
    assert answer.status_code == 200, answer.text
    groups = answer.json()["archetypes"]
    assert all(group["package_count"] == len(group["packages"]) for group in groups)
    return {group["archetype"]: [package["name"] for package in group["packages"]] for group in groups}


async def test_archetypes_are_listed_with_their_packages(fs_registry: Registry) -> None:
    """Both are in byte order, with every field compared byte for byte."""
    await publish_starters(fs_registry)
    assert await listed(fs_registry) == {
        "cli": ["tool"],
        "http api": ["api"],
        "service": ["web-starter"],
        "web": ["api", "web-starter"],
    }
    answer = await fs_registry.http.get("/v1/archetypes?limit=1")
    assert answer.text == (
        '{"ok":true,"q":"","limit":1,"offset":0,"total":4,"archetypes":[{"archetype":"cli","package_count":1,'
        '"packages":[{"name":"tool","latest_version":"0.1.0","is_official":false,'
        '"description":"The tool. 100%!"}]}]}'
    )


FOUND: list[tuple[str, dict[str, list[str]]]] = [
    ("CLI", {"cli": ["tool"]}),
    ("serv", {"service": ["web-starter"]}),
    ("we", {"service": ["web-starter"], "web": ["api", "web-starter"]}),
    ("tarter", {"service": ["web-starter"], "web": ["web-starter"]}),
    ("THE API", {"http api": ["api"], "web": ["api"]}),
    ("tool the", {"cli": ["tool"]}),
    ("plain", {}),
    ("a_i", {}),
    ("\\", {}),
    ("l\ncli", {}),
]


async def test_a_query_finds_archetypes_and_packages(fs_registry: Registry) -> None:
    """Text in the archetype matches all of its packages; text in a package matches only that one."""
    await publish_starters(fs_registry)
    for q, expected in FOUND:
        assert await listed(fs_registry, q=q) == expected, q


async def test_the_query_is_echoed_as_it_was_understood(fs_registry: Registry) -> None:
    """The answer has it trimmed and lower-cased (ASCII only); a wildcard is ordinary text."""
    await publish_starters(fs_registry)
    answer = (await fs_registry.http.get("/v1/archetypes?q=%20100%25%20&limit=500&offset=1")).json()
    assert (answer["q"], answer["limit"], answer["offset"], answer["total"]) == ("100%", 100, 1, 4)
    assert [group["archetype"] for group in answer["archetypes"]] == ["http api", "service", "web"]
    assert (await fs_registry.http.get("/v1/archetypes?q=ÀB")).json()["q"] == "Àb"


async def test_a_page_behind_the_end_is_empty_and_still_counted(fs_registry: Registry) -> None:
    """A page of length 0 is empty too."""
    await publish_starters(fs_registry)
    for query in ("offset=4", "offset=4294967295", "limit=0"):
        answer = (await fs_registry.http.get(f"/v1/archetypes?{query}")).json()
        assert (answer["total"], answer["archetypes"]) == (4, [])


async def test_a_bad_query_is_refused(fs_registry: Registry) -> None:
    """The rules are those of search."""
    for query in ("limit=x", "offset=", "q=a&q=b", "q=%00", "limit=4294967296"):
        answer = await fs_registry.http.get(f"/v1/archetypes?{query}")
        assert (answer.status_code, answer.json()["code"]) == (400, "X07REG_BAD_REQUEST"), query


async def test_one_archetype_is_found_by_its_name(fs_registry: Registry) -> None:
    """The name is trimmed, in any case, percent-encoded where necessary."""
    await publish_starters(fs_registry)
    for path in ("cli", "CLI", "%20Cli%20"):
        answer = await fs_registry.http.get(f"/v1/archetypes/{path}")
        assert answer.text == (
            '{"ok":true,"archetype":"cli","package_count":1,"packages":[{"name":"tool",'
            '"latest_version":"0.1.0","is_official":false,"description":"The tool. 100%!"}]}'
        )
    answer = await fs_registry.http.get("/v1/archetypes/http%20api")
    assert answer.json()["packages"][0]["name"] == "api"


async def test_an_unknown_archetype_is_not_found(fs_registry: Registry) -> None:
    """Only the whole name matches."""
    await publish_starters(fs_registry)
    for path in ("cl", "c%25", "clis", "a%00b", "archetype:cli", "a%27b"):
        answer = await fs_registry.http.get(f"/v1/archetypes/{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "X07REG_NOT_FOUND"), path
        assert answer.json()["message"] == "archetype not found"


async def test_a_blank_archetype_is_refused(fs_registry: Registry) -> None:
    """This applies to every kind of white space."""
    for path in ("%20", "%E3%80%80%09"):
        answer = await fs_registry.http.get(f"/v1/archetypes/{path}")
        assert (answer.status_code, answer.json()["code"]) == (400, "X07REG_INVALID_ARCHETYPE")
        assert answer.json()["message"] == "archetype name is required"


async def test_an_archetype_vanishes_with_the_version_that_had_it(fs_registry: Registry) -> None:
    """Only the latest version counts."""
    headers = await publish_starters(fs_registry)
    await fs_registry.publish(hello_archive("tool", "0.2.0"), headers)
    assert "cli" not in await listed(fs_registry)
    assert (await fs_registry.http.get("/v1/archetypes/cli")).status_code == 404


async def test_archetypes_without_bounds_do_not_keep_a_package_from_readers(fs_registry: Registry) -> None:
    """Over-long and too many ones, which the older server accepted, are left out of lists."""
    words = [f"word-{number:05}" for number in range(2000)]
    meta = {"x07c_compat": "*", "archetypes": ["é" * 5000, *words, "  "], "facets": ["archetype:"]}
    assert (await fs_registry.publish(hello_archive(), await fs_registry.add_publisher())).status_code == 200
    await fs_registry.store_manifest("hello", hello_manifest(meta=meta))
    assert (await fs_registry.http.get("/index/he/ll/hello")).status_code == 200
    assert (await fs_registry.http.get("/v1/archetypes")).json()["total"] == 63
    assert list(await listed(fs_registry, limit=2)) == ["word-00000", "word-00001"]


async def test_an_archetype_with_a_slash_is_named_with_an_encoded_one(fs_registry: Registry) -> None:
    """Only an encoded slash works (contract, 6.7); a plain one would be another path."""
    archive = hello_archive(meta={"x07c_compat": "*", "archetype": "Web/Api"})
    assert (await fs_registry.publish(archive, await fs_registry.add_publisher())).status_code == 200
    for spelling in ("web%2Fapi", "%20WEB%2fapi"):
        answer = await fs_registry.http.get(f"/v1/archetypes/{spelling}")
        assert (answer.status_code, answer.json().get("archetype")) == (200, "web/api")
    for other in ("web/api", "web%252Fapi"):
        assert (await fs_registry.http.get(f"/v1/archetypes/{other}")).status_code == 404
