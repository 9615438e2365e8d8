"""GET /v1/search: literal, ranked, paged, and up to date with the index."""

from __future__ import annotations

from typing import Any

from tests.archives import hello_archive
from tests.stack import Registry


async def found(registry: Registry, **parameters: Any) -> list[str]:
    """The names that a search finds, in order."""
    answer = await registry.http.get("/v1/search", params=parameters)
    assert answer.status_code == 200, answer.text
    return [package["name"] for package in answer.json()["packages"]]


async def publish_names(registry: Registry, *names: str) -> dict[str, str]:
    """Publish a version of each. Returns the publisher's headers."""
    headers = await registry.add_publisher()
    for name in names:
        answer = await registry.publish(hello_archive(name), headers)
        assert answer.headers["x-x07-index-published"] == "true", answer.text
    return headers


async def test_a_search_answers_with_what_the_latest_version_says(fs_registry: Registry) -> None:
    """Every field is compared byte for byte, directly after the publish."""
    headers = await fs_registry.add_publisher("x07")
    meta = {"x07c_compat": ">=0.1.111 <0.3.0", "archetype": "cli"}
    await fs_registry.publish(
        hello_archive(modules=["greeting", "greeting.more"], description="Says héllo.", meta=meta), headers
    )
    answer = await fs_registry.http.get("/v1/search?q=%20HEL%20")
    assert answer.headers["content-type"] == "application/json"
    assert "etag" not in answer.headers
    assert "cache-control" not in answer.headers
    official = str(fs_registry.settings.official_handle == "x07").lower()
    assert answer.text == (
        '{"ok":true,"q":"HEL","limit":20,"offset":0,"total":1,"packages":[{"name":"hello",'
        f'"latest_version":"0.1.0","is_official":{official},"description":"Says héllo.",'
        '"modules_count":2,"facets":["archetype:cli"]}]}'
    )


async def test_what_is_published_next_replaces_what_search_says(fs_registry: Registry) -> None:
    """The greatest version counts, whatever the order; removed facets disappear."""
    headers = await fs_registry.add_publisher()
    meta = {"x07c_compat": "*", "facets": ["old"]}
    await fs_registry.publish(hello_archive(version="0.1.0", meta=meta), headers)
    await fs_registry.publish(hello_archive(version="0.3.0", description="Third."), headers)
    await fs_registry.publish(hello_archive(version="0.2.0", description="Second."), headers)
    (package,) = (await fs_registry.http.get("/v1/search?q=hello")).json()["packages"]
    assert (package["latest_version"], package["description"]) == ("0.3.0", "Third.")
    assert "facets" not in package


async def test_the_best_match_comes_first(fs_registry: Registry) -> None:
    """First the name itself, then names that begin with the text, shorter ones first, then by bytes."""
    await publish_names(
        fs_registry, "my-json", "json-zz", "json-aaaa", "a-json-tool", "xjson", "json", "json-b1", "yaml"
    )
    ranked = ["json", "json-b1", "json-zz", "json-aaaa", "xjson", "my-json", "a-json-tool"]
    assert await found(fs_registry, q="json") == ranked
    assert await found(fs_registry, q="js") == ranked
    assert await found(fs_registry, q="JSON") == ranked
    assert await found(fs_registry, q="j") == ranked
    for size in (1, 2, 3):
        pages = [await found(fs_registry, q="json", limit=size, offset=at) for at in range(0, 7, size)]
        assert [name for page in pages for name in page] == ranked


async def test_an_empty_query_lists_every_package_by_name(fs_registry: Registry) -> None:
    """In byte order, `-` comes before digits, digits before letters, and `_` between upper and lower case."""
    await publish_names(fs_registry, "b", "a_b", "a-b", "a1", "ab", "a")
    names = ["a", "a-b", "a1", "a_b", "ab", "b"]
    assert await found(fs_registry) == names
    assert await found(fs_registry, q="  ") == names
    answer = (await fs_registry.http.get("/v1/search?limit=2&offset=3")).json()
    assert [package["name"] for package in answer["packages"]] == names[3:5]
    assert (answer["limit"], answer["offset"], answer["total"]) == (2, 3, 6)


async def test_text_matches_literally(fs_registry: Registry) -> None:
    """There are no wildcards or escapes; text that is in no name finds nothing."""
    await publish_names(fs_registry, "abc", "xyz")
    for q in ("%", "_", "\\", "a_c", "a%c", "a\\", "é", "a b", "'", "abcd", "ac"):
        answer = (await fs_registry.http.get("/v1/search", params={"q": q})).json()
        assert (answer["q"], answer["total"], answer["packages"]) == (q, 0, [])


async def test_an_underscore_matches_only_itself(fs_registry: Registry) -> None:
    """As one character, in a pair, and in longer text."""
    await publish_names(fs_registry, "ab_cd", "ab-cd", "abxcd")
    for q in ("_", "b_", "_c", "b_c"):
        assert await found(fs_registry, q=q) == ["ab_cd"]


async def test_names_that_differ_only_in_separators_are_found(fs_registry: Registry) -> None:
    """They come right behind the name itself, and count."""
    await publish_names(fs_registry, "foo-bar", "foobars", "foo_bar-baz", "a-foo_bar", "f-oo-bar", "other")
    same = ["foo-bar", "f-oo-bar"]
    assert await found(fs_registry, q="foo_bar") == [*same, "foo_bar-baz", "a-foo_bar"]
    assert await found(fs_registry, q="foobar") == [*same, "foobars"]
    assert await found(fs_registry, q="foo bar") == same
    assert await found(fs_registry, q="Foo--Bar") == same
    assert await found(fs_registry, q="foo-bar") == same
    for q, total in (("foo_bar", 4), ("foobar", 3), ("foo bar", 2), ("-", 4), (" ", 6)):
        pages = [await found(fs_registry, q=q, limit=1, offset=at) for at in range(total + 1)]
        assert [name for page in pages for name in page] == await found(fs_registry, q=q)
        answer = (await fs_registry.http.get("/v1/search", params={"q": q, "limit": 0})).json()
        assert answer["total"] == total


async def test_totals_do_not_depend_on_the_page(fs_registry: Registry) -> None:
    """Limit 0 only counts, limits over 100 count as 100, offsets after the end give an empty page."""
    await publish_names(fs_registry, "one", "once", "on")
    for query, limit, names in [
        ("limit=0", 0, []),
        ("limit=101", 100, ["on", "one", "once"]),
        ("limit=4294967295", 100, ["on", "one", "once"]),
        ("limit=%2B0002", 2, ["on", "one"]),
        ("offset=2", 20, ["once"]),
        ("offset=3", 20, []),
        ("offset=4294967295", 20, []),
    ]:
        for q in ("on", "o"):
            answer = (await fs_registry.http.get(f"/v1/search?q={q}&{query}")).json()
            assert (answer["limit"], answer["total"]) == (limit, 3)
            assert [package["name"] for package in answer["packages"]] == names


BAD_QUERIES = [
    "limit=abc",
    "limit=-1",
    "limit=",
    "limit",
    "limit=4294967296",
    "limit=1.0",
    "limit=+1",
    "limit=1_0",
    "limit=%D9%A1",
    "limit=" + "9" * 5000,
    "offset=",
    "offset=-0",
    "limit=1&limit=1",
    "offset=1&offset=2",
    "q=a&q=b",
    "q=a%00b",
    "q=%FF",
    "scale_tested=1",
    "scale_tested=",
    "scale_tested=True",
    "scale_tested=true&scale_tested=true",
]


async def test_a_bad_query_is_refused(fs_registry: Registry) -> None:
    """400 with a code, whatever the other parameters are."""
    for query in BAD_QUERIES:
        answer = await fs_registry.http.get(f"/v1/search?{query}")
        assert (answer.status_code, answer.json()["code"]) == (400, "X07REG_BAD_REQUEST"), query


async def test_an_unknown_parameter_and_an_empty_text_are_ignored(fs_registry: Registry) -> None:
    """Only known parameters are read."""
    for query in ("q=", "q", "", "&&", "x=1&x=2&page=abc", "scale_tested=false", "Limit=x"):
        answer = await fs_registry.http.get(f"/v1/search?{query}")
        assert answer.text == '{"ok":true,"q":"","limit":20,"offset":0,"total":0,"packages":[]}', query


async def test_only_packages_whose_latest_version_is_scale_tested(fs_registry: Registry) -> None:
    """The filter uses the latest version, and totals follow the filter."""
    headers = await publish_names(fs_registry, "tool-plain", "tool-was", "tool-is")
    tested = {"x07c_compat": "*", "scale_tested": True}
    await fs_registry.publish(hello_archive("tool-was", "0.2.0", meta=tested), headers)
    await fs_registry.publish(hello_archive("tool-is", "0.2.0", meta=tested), headers)
    for q in ("", "t", "ol", "tool"):
        answer = (await fs_registry.http.get(f"/v1/search?q={q}&scale_tested=true&limit=1")).json()
        assert answer["total"] == 2
        assert sorted(await found(fs_registry, q=q, scale_tested="true")) == ["tool-is", "tool-was"]
    await fs_registry.publish(hello_archive("tool-was", "0.3.0"), headers)
    for q in ("", "t", "ol", "tool"):
        answer = (await fs_registry.http.get(f"/v1/search?q={q}&scale_tested=true")).json()
        assert (answer["total"], [row["name"] for row in answer["packages"]]) == (1, ["tool-is"])
        assert (await fs_registry.http.get(f"/v1/search?q={q}")).json()["total"] == 3


async def test_a_package_without_a_latest_version_is_still_found(fs_registry: Registry) -> None:
    """If every version is yanked: null, no description, no modules; not scale-tested."""
    headers = await fs_registry.add_publisher()
    tested = {"x07c_compat": "*", "scale_tested": True, "facets": ["x"]}
    await fs_registry.publish(hello_archive(meta=tested), headers)
    await make_changed(fs_registry, "UPDATE packages SET latest_version = NULL")
    expected = '"packages":[{"name":"hello","latest_version":null,"is_official":false,"modules_count":0}]}'
    for q in ("", "h", "hello"):
        assert (await fs_registry.http.get(f"/v1/search?q={q}")).text.endswith(expected)
        assert await found(fs_registry, q=q, scale_tested="true") == []


async def test_totals_follow_a_package_that_is_removed(fs_registry: Registry) -> None:
    """An operator's SQL removes it, because there is no route for it."""
    await publish_names(fs_registry, "gone", "good")
    await change(fs_registry, "DELETE FROM packages WHERE name = 'gone'")
    for q, total in [("", 1), ("g", 1), ("on", 0), ("go", 1), ("gone", 0), ("good", 1)]:
        answer = (await fs_registry.http.get(f"/v1/search?q={q}")).json()
        assert (answer["total"], len(answer["packages"])) == (total, total)


async def test_totals_are_right_although_no_name_waits_for_another(fs_registry: Registry) -> None:
    """While a transaction that adds a name is open, others are listed, and each is counted once."""
    publisher = await fs_registry.add_publisher()
    assert (await fs_registry.publish(hello_archive(name="first"), publisher)).status_code == 200
    await fs_registry.until_row("SELECT 1 FROM search_names WHERE name = 'first'")
    async with fs_registry.database.transaction() as tx:
        await tx.exec_driver_sql("DELETE FROM search_names")
        for name in ("fourth", "fifth"):
            assert (await fs_registry.publish(hello_archive(name=name), publisher)).status_code == 200
            await fs_registry.until_row("SELECT 1 FROM search_names WHERE name = :name", name=name)
        assert await totals(fs_registry) == {"": 3, "f": 3, "fi": 2, "th": 2, "rst": 1}
    assert await totals(fs_registry) == {"": 2, "f": 2, "fi": 1, "th": 2, "rst": 0}
    assert (await fs_registry.publish(hello_archive(name="sixth"), publisher)).status_code == 200
    await fs_registry.until_row("SELECT 1 FROM search_names WHERE name = 'sixth'")
    assert await totals(fs_registry) == {"": 3, "f": 2, "fi": 1, "th": 3, "rst": 0}
    assert await fs_registry.rows("SELECT 1 FROM search_total_changes") == []


async def totals(registry: Registry) -> dict[str, int]:
    """The number of packages found by some texts."""
    return {
        q: (await registry.http.get(f"/v1/search?q={q}")).json()["total"]
        for q in ("", "f", "fi", "th", "rst")
    }


async def test_an_adopted_package_is_found_once_it_is_published(fs_registry: Registry) -> None:
    """The worker lists rows from before the adoption, including an old manifest."""
    user_id = await fs_registry.add_user("alice")
    await change(
        fs_registry,
        "INSERT INTO packages (name, created_by, latest_version) VALUES ('0ld', :user, NULL)",
        user=user_id,
    )
    assert await found(fs_registry, q="ld") == []
    await change(fs_registry, "INSERT INTO index_state (package_id) SELECT id FROM packages")
    await fs_registry.until_row("SELECT 1 FROM package_listings WHERE name = '0ld'")
    assert await found(fs_registry, q="ld") == ["0ld"]


async def change(registry: Registry, sql: str, **values: Any) -> None:
    """Change rows with SQL."""
    await registry.rows(f"{sql} RETURNING 1", **values)


async def make_changed(registry: Registry, sql: str) -> None:
    """Change rows of every package with SQL, and wait until the worker has published that."""
    await change(registry, sql)
    await change(registry, "UPDATE index_state SET generation = generation + 1, dirty_since = now()")
    await registry.until_row(
        "SELECT 1 WHERE NOT EXISTS (SELECT FROM index_state WHERE generation > published_generation)"
    )
