"""HTML pages are static files: written behind a publish, served by the read tier, without JavaScript."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from pydantic import SecretStr

from api.read.fast_path import FastProtocol
from deploy.asgi import build_read_app, build_write_app
from indexer.queries import page_lists
from shared.encodings import MIN_COMPRESSED_BYTES
from tests.archives import hello_archive
from tests.conftest import MakeSettings
from tests.http.test_removal import remove
from tests.stack import Registry, bearer, eventually, running_registry, serving

BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"}
NOWHERE = SecretStr("postgresql://nobody@127.0.0.1:1/nothing")
BASE = "https://registry.example"
FEEDS = ("/feeds/new.atom", "/feeds/advisories.atom", "/packages/hello/versions.atom")
PATHS = ("/", "/packages/hello", "/packages/hello/0.1.0", "/packages/hello/0.1.0/files")


@pytest_asyncio.fixture
async def paged(make_default_settings: MakeSettings) -> AsyncIterator[Registry]:
    """A registry with pages, over a directory, under a public address."""
    settings = await make_default_settings(
        pages="on",
        public_base=BASE,
        catalog_debounce_seconds=0.02,
        sweep_seconds=0.5,
        publish_wait_seconds=20,
    )
    async with running_registry(settings) as running:
        yield running


async def until_page(http: httpx.AsyncClient, path: str, *texts: str) -> httpx.Response:
    """The page at a path, as soon as it contains all texts."""

    async def shown() -> httpx.Response | None:
        answer = await http.get(f"{path}?x07_refresh=1" if path == "/" else path, headers=BROWSER)
        is_page = answer.status_code == 200 and answer.headers["content-type"].startswith("text/html")
        return answer if is_page and all(text in answer.text for text in texts) else None

    found: httpx.Response = await eventually(shown)
    return found


async def test_a_fresh_registry_tells_how_to_use_it_and_publish_and_then_shows_the_package(
    paged: Registry,
) -> None:
    """The commands have this registry's own address; what is published appears on all pages."""
    home = await until_page(paged.http, "/", "Publish the first package")
    assert f"export X07_PKG_INDEX_URL=sparse+{BASE}/index/" in home.text
    assert f"--data-binary @hello.tar {BASE}/v1/packages/publish" in home.text
    alice = await paged.add_publisher()
    assert (await paged.publish(hello_archive(), alice)).status_code == 200
    home = await until_page(paged.http, "/", '<a href="/packages/hello/0.1.0">hello 0.1.0</a>')
    assert "1 package in 1 version" in home.text
    assert "Publish the first package" not in home.text
    page = await until_page(paged.http, "/packages/hello", "x07 pkg add hello@0.1.0", "Says hello.", "alice")
    cksum = hashlib.sha256(hello_archive()).hexdigest()
    version = await until_page(paged.http, "/packages/hello/0.1.0", cksum)
    assert '<a href="/packages/hello/0.1.0/files">' in version.text
    files = await until_page(paged.http, "/packages/hello/0.1.0/files", "modules/greeting.x07.json")
    assert "&#34;module_id&#34;:&#34;greeting&#34;" in files.text
    for asset in re.findall(r'(?:href|src)="(/assets/[^"]+)"', page.text):
        answer = await paged.http.get(asset)
        assert (answer.status_code, answer.headers["cache-control"]) == (
            200,
            "public, max-age=31536000, immutable",
        )
    robots = await paged.http.get("/robots.txt")
    assert (robots.status_code, robots.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert (await paged.http.get("/favicon.ico")).headers["content-type"] == "image/svg+xml"
    for path in ("/packages/nothing", "/packages/hello/9.9.9", "/packages/hello/x", "/assets/none.css"):
        missing = await paged.http.get(path, headers=BROWSER)
        assert (missing.status_code, missing.json()["code"]) == (404, "X07REG_NOT_FOUND")


async def test_a_page_follows_yanks_advisories_and_further_versions(paged: Registry) -> None:
    """Each change that readers see renders the pages again; the page of another version stays as it is."""
    alice = await paged.add_publisher("alice", "publish", "owner.manage")
    for version in ("0.1.0", "0.2.0"):
        await paged.publish(hello_archive(version=version), alice)
    await until_page(paged.http, "/packages/hello", "hello@0.2.0", "2 versions")
    first = await until_page(paged.http, "/packages/hello/0.1.0")
    await paged.http.post("/v1/packages/hello/0.2.0/yank", json={"yanked": True}, headers=alice)
    await until_page(paged.http, "/packages/hello", "hello@0.1.0", "yanked")
    await until_page(paged.http, "/packages/hello/0.2.0", "This version is yanked")
    advisory = {"kind": "broken", "severity": "high", "summary": "Does <not> start."}
    await paged.http.post("/v1/packages/hello/0.2.0/advisories", json=advisory, headers=alice)
    await until_page(paged.http, "/packages/hello/0.2.0", "Does &lt;not&gt; start.")
    again = await paged.http.get("/packages/hello/0.1.0")
    assert again.headers["etag"] == first.headers["etag"]


async def test_the_page_of_a_removed_version_goes_and_says_so(paged: Registry) -> None:
    """A version is removed for legal reasons, so nothing of what it said may stay on any page or feed."""
    alice = await paged.add_publisher()
    for version in ("0.1.0", "0.2.0"):
        archive = hello_archive(version=version, description=f"The text of {version}.")
        assert (await paged.publish(archive, alice)).status_code == 200
    await until_page(paged.http, "/packages/hello/0.2.0", "The text of 0.2.0.")
    assert await remove(paged, "0.2.0", "admin", user_id=await paged.add_user("admin"))
    for path in ("/packages/hello/0.2.0", "/packages/hello/0.2.0/files"):
        await eventually(lambda path=path: _is_told_removed(paged, path))
    for path in ("/", "/packages/hello", "/packages/", *FEEDS):
        await eventually(lambda path=path: _is_without(paged, path, "The text of 0.2.0."))
    missing = await paged.http.get("/packages/hello/0.3.0", headers=BROWSER)
    assert missing.json()["message"] == 'path "/packages/hello/0.3.0" not found'


async def _is_told_removed(paged: Registry, path: str) -> bool:
    """True once a browser learns that hello 0.2.0 was removed."""
    answer = await paged.http.get(path, headers=BROWSER)
    was_removed = 'version "0.2.0" of package "hello" was removed'
    return answer.status_code == 404 and answer.json()["message"] == was_removed


async def _is_without(paged: Registry, path: str, text: str) -> bool:
    """True if the page at a path does not have this text."""
    answer = await paged.http.get(f"{path}?x07_refresh=1", headers=BROWSER)
    return answer.status_code == 200 and text not in answer.text


async def test_pages_are_served_as_all_blobs_are(paged: Registry) -> None:
    """ETag, 304, HEAD and compressed variants, from memory too; no database is needed for it."""
    await paged.publish(hello_archive(docs="Says hello. " * 400), await paged.add_publisher())
    await until_page(paged.http, "/", "hello 0.1.0")
    await until_page(paged.http, "/packages/hello/0.1.0")
    async with (
        serving(build_read_app(paged.settings), FastProtocol) as url,
        httpx.AsyncClient(base_url=url, timeout=30) as http,
    ):
        codings = set()
        for path in PATHS:
            plain = await http.get(path, headers={**BROWSER, "accept-encoding": "identity"})
            etag = f'"{hashlib.sha256(plain.content).hexdigest()}"'
            assert (plain.status_code, plain.headers["etag"]) == (200, etag)
            assert plain.headers["cache-control"] == "no-cache"
            for _ in range(3):
                zipped = await http.get(path, headers={**BROWSER, "accept-encoding": "gzip"})
                coding = zipped.headers.get("content-encoding")
                assert zipped.content == plain.content
                assert coding == ("gzip" if len(plain.content) >= MIN_COMPRESSED_BYTES else None)
                codings.add(coding)
                known = await http.get(
                    path, headers={**BROWSER, "accept-encoding": "identity", "if-none-match": etag}
                )
                assert (known.status_code, known.content) == (304, b"")
                require_closed(known)
            head = await http.head(path, headers={**BROWSER, "accept-encoding": "identity"})
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["content-length"] == str(len(plain.content))
        assert codings == {"gzip", None}


def require_closed(answer: httpx.Response) -> None:
    """Fail unless the browser may load only the registry's own files, and no script in the page's text."""
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_every_package_is_on_a_list_and_in_a_sitemap(
    paged: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list has so many packages a page, each at the place that it got first; crawlers find the same."""
    monkeypatch.setattr(page_lists, "PER_PAGE", 10)
    await paged.rows(
        """
        WITH alice AS (INSERT INTO users (handle) VALUES ('alice') RETURNING id), put AS (
            INSERT INTO packages (name, created_by, created_at)
            SELECT 'pkg-' || n, id, now() - interval '1 day' + n * interval '1 second'
            FROM alice, generate_series(1, 25) n RETURNING id
        )
        INSERT INTO index_state (package_id) SELECT id FROM put RETURNING 1
        """
    )
    await until_page(paged.http, "/", "25 packages")
    pages = [
        await until_page(paged.http, "/packages/~1", 'href="/packages/~2"'),
        await until_page(paged.http, "/packages/~2", 'href="/packages/~1"', 'href="/packages/~3"'),
        await until_page(paged.http, "/packages/~3", 'href="/packages/"'),
    ]
    listed = [re.findall(">(pkg-[0-9]+)<", page.text) for page in pages]
    assert list(map(len, listed)) == [10, 10, 5]
    assert {name for names in listed for name in names} == {f"pkg-{number}" for number in range(1, 26)}
    newest = await until_page(paged.http, "/packages/", *(f">{name}<" for name in listed[2]))
    assert re.findall(">(pkg-[0-9]+)<", newest.text) == [*listed[2], *listed[1]]
    index = await paged.http.get("/sitemap.xml")
    assert index.headers["content-type"] == "application/xml"
    found = re.findall(f"<loc>{BASE}(.*?)</loc>", index.text)
    assert found == [f"/packages/~{number}/sitemap.xml" for number in (1, 2, 3)]
    names = [name for path in found for name in re.findall("pkg-[0-9]+", (await paged.http.get(path)).text)]
    assert sorted(names) == sorted(f"pkg-{number}" for number in range(1, 26))


async def test_a_package_lists_what_it_requires_and_what_requires_it(paged: Registry) -> None:
    """A publish also renders the page of each package that the new version requires."""
    alice = await paged.add_publisher()
    await paged.publish(hello_archive(), alice)
    await until_page(paged.http, "/packages/hello")
    meta = {"x07c_compat": ">=0.1.111 <0.3.0", "requires_packages": ["hello@^0.1"]}
    await paged.publish(hello_archive("friend", meta=meta), alice)
    row = '<a href="/packages/{}">{}</a> <code>^0.1</code>'
    await until_page(paged.http, "/packages/hello", row.format("friend", "friend"), "<svg")
    await until_page(paged.http, "/packages/friend", row.format("hello", "hello"))
    await until_page(paged.http, "/", "Most required", '<a href="/packages/hello">hello</a>', "by 1 package")
    version = await until_page(paged.http, "/packages/friend/0.1.0", "| sha256sum")
    assert "x07 pkg verify" not in version.text  # it has no signature


async def test_feeds_follow_publishes_and_advisories(paged: Registry) -> None:
    """They are static files with an ETag, and the pages link to them."""
    alice = await paged.add_publisher("alice", "publish", "owner.manage")
    await paged.publish(hello_archive(), alice)
    advisory = {"kind": "broken", "severity": "high", "summary": "Does not start."}
    await paged.http.post("/v1/packages/hello/0.1.0/advisories", json=advisory, headers=alice)
    feeds = {
        "/feeds/new.atom": "<title>hello 0.1.0</title>",
        "/feeds/advisories.atom": "Does not start.",
        "/packages/hello/versions.atom": f"<id>{BASE}/packages/hello/0.1.0</id>",
    }
    for path, text in feeds.items():

        async def shown(path: str = path, text: str = text) -> httpx.Response | None:
            answer = await paged.http.get(path)
            return answer if answer.status_code == 200 and text in answer.text else None

        feed = await eventually(shown)
        assert feed.headers["content-type"] == "application/atom+xml; charset=utf-8"
        known = await paged.http.get(path, headers={"if-none-match": feed.headers["etag"]})
        assert known.status_code == 304
    home = await until_page(paged.http, "/", "hello 0.1.0")
    page = await until_page(paged.http, "/packages/hello")
    linked = re.findall(
        '<link rel="alternate" type="application/atom.xml" [^>]*href="([^"]+)"', home.text + page.text
    )
    assert sorted(linked) == sorted(feeds)


async def test_help_and_status_are_there_from_the_start(paged: Registry) -> None:
    """Nobody has to publish before the links at the top lead somewhere."""
    await until_page(paged.http, "/help", f"sparse+{BASE}/index/", "x07 pkg publish")
    api = await until_page(
        paged.http, "/docs/api", "/v1/packages/{name}/{version}/yank", "&#34;yanked&#34;: true"
    )
    require_closed(api)
    viewer = re.search(r'src="(/assets/swagger-ui-bundle[^"]+)"', api.text)
    assert viewer is not None
    assert (await paged.http.get(viewer[1])).headers["content-type"] == "text/javascript; charset=utf-8"
    await until_page(paged.http, "/status", "A worker wrote this page on")
    await until_page(paged.http, "/packages/", "There are no packages yet")


async def test_a_search_shows_what_it_finds_and_says_kindly_when_it_is_away(paged: Registry) -> None:
    """The write API renders it over the same templates; what was searched for is escaped."""
    await paged.publish(hello_archive("hello-world"), await paged.add_publisher())
    found = await paged.http.get("/search?q=WORLD", headers=BROWSER)
    assert (found.status_code, found.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert '<a href="/packages/hello-world">hello-world</a>' in found.text
    require_closed(found)
    nothing = await paged.http.get("/search", params={"q": '"><script>x'})
    assert "No package has a name that contains" in nothing.text
    assert "<script>x" not in nothing.text
    settings = paged.settings.model_copy(update={"database_url": NOWHERE})
    async with (
        serving(build_write_app(settings)) as url,
        httpx.AsyncClient(base_url=url, timeout=30) as http,
    ):
        away = await http.get("/search?q=hello")
        assert (away.status_code, away.headers["retry-after"]) == (503, "5")
        assert "Search is away for a moment" in away.text


async def test_everybody_but_browsers_gets_the_json_of_today(paged: Registry) -> None:
    """The contract's answer at `/` stays for clients that do not prefer HTML."""
    await until_page(paged.http, "/")
    for accept in (
        None,
        "",
        ",",
        "*/*",
        "application/json",
        "text/html, application/json",
        "text/html;q=0.5,*/*",
    ):
        request = paged.http.build_request("GET", "/")
        del request.headers["accept"]
        if accept is not None:
            request.headers["accept"] = accept
        answer = await paged.http.send(request)
        assert (answer.json()["service"], answer.headers["vary"]) == ("x07-registry", "accept"), accept


async def test_the_host_of_the_index_has_the_same_pages(paged: Registry) -> None:
    """No file of the index is at the path of a page (contract, 3.1), so every host may answer with pages."""
    await paged.publish(hello_archive("packages"), await paged.add_publisher())
    page = await until_page(paged.http, "/packages/packages")
    host = {"host": paged.settings.index_host}
    for path in ("/packages/packages", "/"):
        answer = await paged.http.get(path, headers={**host, **BROWSER})
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert (await paged.http.get("/packages/packages", headers=host)).content == page.content
    index = await paged.http.get("/pa/ck/packages", headers=host)
    assert (index.status_code, index.headers["content-type"]) == (200, "application/x-ndjson")


async def test_a_registry_with_pages_off_has_none(make_default_settings: MakeSettings) -> None:
    """The worker writes nothing for them, and notes nothing; readers answer as they did."""
    settings = await make_default_settings(publish_wait_seconds=20, catalog_debounce_seconds=0.02)
    async with running_registry(settings) as registry:
        await registry.publish(hello_archive(), await registry.add_publisher())
        await registry.until_in_catalog("hello", "0.1.0")
        home = await registry.http.get("/", headers=BROWSER)
        assert (home.headers["content-type"], home.headers.get("vary")) == ("application/json", None)
        assert (await registry.http.get("/packages/hello", headers=BROWSER)).status_code == 404
        assert await registry.keys("pages/") == []
        assert await registry.rows("SELECT 1 FROM page_changes") == []


async def test_pages_of_a_private_registry_need_a_token(make_default_settings: MakeSettings) -> None:
    """Like every other read: without a token not even the stylesheet is served, and crawlers are kept out."""
    settings = await make_default_settings(
        pages="on", reads="token", catalog_debounce_seconds=0.02, sweep_seconds=0.5, publish_wait_seconds=20
    )
    async with running_registry(settings) as registry:
        alice = await registry.add_publisher()
        await registry.publish(hello_archive(), alice)
        paths = (*PATHS, "/robots.txt", "/packages/", "/status", "/sitemap.xml", *FEEDS)

        async def are_there() -> bool:
            answers = [await registry.http.get(path, headers={**BROWSER, **alice}) for path in paths]
            return all(
                answer.status_code == 200 and answer.headers["content-type"] != "application/json"
                for answer in answers
            )

        await eventually(are_there)
        for path in paths:
            for headers in (BROWSER, {**BROWSER, **bearer("x07t_unknown")}):
                refused = await registry.http.get(path, headers=headers)
                assert (refused.status_code, refused.headers["cache-control"]) == (401, "no-store")
                assert "hello" not in refused.text
            allowed = await registry.http.get(path, headers={**BROWSER, **alice})
            assert (
                "private" in allowed.headers["cache-control"]
                or allowed.headers["cache-control"] == "no-cache"
            )
        assert (await registry.http.get("/search?q=hello", headers=BROWSER)).status_code == 401
        assert "hello" in (await registry.http.get("/search?q=hello", headers={**BROWSER, **alice})).text
        service = await registry.http.get("/")
        assert (service.status_code, service.json()["service"]) == (200, "x07-registry")
