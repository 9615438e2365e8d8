"""The edge caches reads, routes the rest, limits bodies, and changes no word of an answer."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import zstandard

from tests.archives import hello_archive
from tests.edge.conftest import Edge
from tests.edge.nginx import checked, write_configuration
from tests.stack import eventually

INDEX = "/index/he/ll/hello"
ARCHIVE = "/v1/packages/hello/0.1.0/download"
Headers = dict[str, str]

TOKEN = {"authorization": "Bearer x07t_never_seen_by_readers", "cookie": "x07_session=nor_this"}


async def publish(
    edge: Edge, version: str = "0.1.0", headers: dict[str, str] | None = None
) -> dict[str, str]:
    """Publish hello through the edge; the publisher's headers."""
    headers = headers or await edge.registry.add_publisher()
    archive = hello_archive(version=version)
    answer = await edge.http.post("/v1/packages/publish", content=archive, headers=headers)
    assert (answer.status_code, answer.headers["x-x07-index-published"]) == (200, "true")
    return headers


async def test_nginx_takes_the_shipped_files_without_a_warning(tmp_path: Path) -> None:
    """`nginx -t`, with addresses filled in: names of another network do not resolve here."""
    main = write_configuration(tmp_path / "conf", 18080, ["127.0.0.1:1"], ["127.0.0.1:2"])
    (tmp_path / "run").mkdir()
    assert "warn" not in await checked(main, tmp_path / "run")


async def test_each_request_reaches_the_tier_that_knows_it(edge: Edge) -> None:
    """Reads go on without the write API; an owner may be called `download`."""
    for path in ("/", "/healthz", INDEX, "/index", "/index/", "/index/config.json", ARCHIVE):
        await edge.http.get(path)
        assert edge.reads.count(path) == 1, path
    assert edge.writes.seen == []
    api = ("/v1/packages/hello", "/v1/search?q=x", "/v1/packages/hello/owners/download", "/readyz", "/nope")
    for path in api:
        await edge.http.get(path)
        assert edge.writes.count(path.partition("?")[0]) == 1, path
    assert len(edge.reads.seen) == 7


async def test_the_index_host_serves_reads_from_its_root(edge: Edge) -> None:
    """And the API where it is on every host; `v1ab` is a package, not a route."""
    host = {"host": "index.x07.io"}
    for path in ("/config.json", "/he/ll/hello", "/v1/ab/v1ab", ARCHIVE):
        await edge.http.get(path, headers=host)
        assert edge.reads.count(path) == 1, path
    await edge.http.get("/v1/search?q=x", headers=host)
    assert edge.writes.count("/v1/search") == 1


async def test_one_answer_serves_every_reader_whatever_token_or_query_they_send(edge: Edge) -> None:
    """Command lines send a token with every read: it neither splits the cache nor reaches a reader."""
    await publish(edge)
    answers = [
        await edge.http.get(path, headers=headers)
        for path, headers in (
            (INDEX, {}),
            (INDEX, TOKEN),
            (INDEX + "?utm=1", {"authorization": "Bearer another"}),
            (INDEX, {"if-none-match": "*"}),
        )
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 304]
    assert len({answer.headers["etag"] for answer in answers}) == 1
    assert edge.reads.count(INDEX) == 1
    await edge.http.get("/index/catalog.json", headers=TOKEN)
    sent = [headers for _, headers in edge.reads.seen]
    assert not any(b"authorization" in headers or b"cookie" in headers for headers in sent)


async def test_every_answer_has_an_id_of_its_own(edge: Edge) -> None:
    """Also from the cache; and in an error it is the one of the body."""
    await publish(edge)
    answers = [
        await edge.http.get(path) for path in (INDEX, INDEX, INDEX, ARCHIVE, ARCHIVE, "/index/no/pe/nope")
    ]
    answers.append(await edge.http.get("/v1/packages/nope"))
    answers.append(await edge.http.get(INDEX, headers={"if-none-match": answers[0].headers["etag"]}))
    ids = [answer.headers.get_list("x-request-id") for answer in answers]
    assert all(len(one) == 1 and len(one[0]) == 32 for one in ids), ids
    assert len({one[0] for one in ids}) == len(ids)
    for answer in answers:
        if answer.status_code == 404:
            assert answer.json()["request_id"] == answer.headers["x-request-id"]


async def test_an_answer_is_the_readers_own(edge: Edge) -> None:
    """The same bytes and validators, whatever is accepted; nothing is compressed a second time."""
    headers = await publish(edge)
    for minor in range(2, 12):
        await publish(edge, f"0.{minor}.0", headers)
    plain = await edge.http.get(f"{INDEX}?x07_refresh=1", headers={"accept-encoding": "identity"})
    zstd = await _raw(edge, {"accept-encoding": "gzip, deflate, br, zstd"})
    gzip = await _raw(edge, {"accept-encoding": "gzip"})
    weighted = await _raw(edge, {"accept-encoding": "gzip;q=0, zstd;q=0"})
    assert (zstd[0]["content-encoding"], gzip[0]["content-encoding"]) == ("zstd", "gzip")
    assert zstandard.ZstdDecompressor().decompressobj().decompress(zstd[1]) == plain.content
    assert weighted[1] == plain.content
    assert "content-encoding" not in weighted[0]
    assert len({plain.headers["etag"], zstd[0]["etag"], gzip[0]["etag"]}) == 3
    for name in ("cache-control", "content-type", "vary"):
        assert plain.headers[name] == zstd[0][name], name
    assert plain.headers["cache-control"] == "public, max-age=300"


async def _raw(edge: Edge, headers: dict[str, str]) -> tuple[httpx.Headers, bytes]:
    async with edge.http.stream("GET", INDEX, headers=headers) as answer:
        return answer.headers, b"".join([chunk async for chunk in answer.aiter_raw()])


async def test_refresh_reads_past_the_cache_and_brings_it_up_to_date(edge: Edge) -> None:
    """`?x07_refresh=` never answers older than storage, also with an empty value."""
    headers = await publish(edge)
    before = await edge.http.get(INDEX)
    await publish(edge, "0.2.0", headers)
    fresh = await edge.http.get(f"{INDEX}?x07_refresh=")
    assert b'"0.2.0"' in fresh.content
    after = await edge.http.get(INDEX)
    assert (after.headers["etag"], after.headers["etag"] != before.headers["etag"]) == (
        fresh.headers["etag"],
        True,
    )


async def test_a_cached_index_file_is_confirmed_within_seconds(edge: Edge) -> None:
    """Without `?x07_refresh=` a reader sees a publish in 5 s, whatever max-age says to clients."""
    headers = await publish(edge)
    await edge.http.get(INDEX)
    await publish(edge, "0.2.0", headers)

    async def is_new() -> bool:
        return b'"0.2.0"' in (await edge.http.get(INDEX)).content

    await eventually(is_new, 15)


async def test_many_who_ask_for_the_same_archive_at_once_cost_one_read(edge: Edge) -> None:
    """A release that everybody downloads: one request fills the cache, the others wait for it."""
    await publish(edge)
    answers = await asyncio.gather(*(edge.http.get(ARCHIVE, headers=TOKEN) for _ in range(20)))
    assert {answer.content for answer in answers} == {hello_archive()}
    assert edge.reads.count(ARCHIVE) == 1


async def test_ranges_of_an_archive_are_cut_from_the_whole(edge: Edge) -> None:
    """A broken download goes on where it broke off, from the cache and before it is filled."""
    await publish(edge)
    whole = hello_archive()
    for _ in range(2):
        part = await edge.http.get(ARCHIVE, headers={"range": "bytes=100-199"})
        assert (part.status_code, part.content) == (206, whole[100:200])
        assert part.headers["content-range"] == f"bytes 100-199/{len(whole)}"
    rest = await edge.http.get(ARCHIVE, headers={"range": "bytes=100-", "if-range": part.headers["etag"]})
    assert (rest.status_code, rest.content) == (206, whole[100:])
    other = await edge.http.get(ARCHIVE, headers={"range": "bytes=100-", "if-range": '"another"'})
    assert (other.status_code, other.content) == (200, whole)
    beyond = await edge.http.get(ARCHIVE, headers={"range": f"bytes={len(whole)}-"})
    assert beyond.status_code == 416
    assert edge.reads.count(ARCHIVE) == 1


async def test_what_is_cached_is_served_while_no_reader_answers(edge: Edge) -> None:
    """Stale is better than down; what is not cached is an error that says to try again."""
    await publish(edge)
    first = await edge.http.get(INDEX)
    edge.reads.broken = True

    async def was_asked() -> bool:
        answer = await edge.http.get(INDEX)
        assert (answer.status_code, answer.content) == (200, first.content)
        return edge.reads.count(INDEX) > 1

    await eventually(was_asked, 15)
    assert (await edge.http.get("/index/no/th/nothing")).status_code == 503


async def test_a_reader_that_lost_storage_goes_on_answering_what_it_holds(edge: Edge) -> None:
    """Its 503 for another file is that file's only: all readers say it, and none is left alone for it."""
    await publish(edge)
    lost = "/index/no/th/nothing"
    edge.reads.lost = frozenset({lost})
    for number in range(6):
        assert (await edge.http.get(lost)).status_code == 503
        answer = await edge.http.get(f"{INDEX}?x07_refresh={number}")
        assert answer.status_code == 200, number


async def test_bodies_are_limited_before_they_cost_anything(edge: Edge) -> None:
    """64 MiB and a little for archives, 3 MB elsewhere; nginx's own refusals are JSON too."""
    headers = await edge.registry.add_publisher()
    for path, size in (("/v1/packages/publish", 66 << 20), ("/v1/auth/token", 4 << 20)):
        status, sent, body = await _declare(edge, path, size, headers["authorization"])
        assert (status, body["code"]) == (413, "X07REG_PAYLOAD_TOO_LARGE")
        assert body["request_id"] == sent["x-request-id"]
    assert edge.writes.seen == []
    refused = await edge.http.post("/v1/packages/publish", content=hello_archive())
    assert refused.json()["code"] == "X07REG_AUTH_REQUIRED"


async def _declare(edge: Edge, path: str, size: int, credential: str) -> tuple[int, Headers, dict[str, str]]:
    """The answer to a head that announces so many bytes, of which none is sent."""
    url = edge.http.base_url
    reader, writer = await asyncio.open_connection(url.host, url.port)
    head = f"POST {path} HTTP/1.1\r\nhost: {url.host}\r\nauthorization: {credential}\r\n"
    writer.write(f"{head}content-length: {size}\r\n\r\n".encode())
    status, *fields = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()[:-1]
    headers = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
    body = json.loads(await reader.readexactly(int(headers["content-length"])))
    writer.close()
    await writer.wait_closed()
    return int(status.split()[1]), headers, body


async def test_the_access_log_holds_no_credential_and_no_query(edge: Edge) -> None:
    """A line of JSON for each answer, found by the id that the client has."""
    answer = await edge.http.get(f"{INDEX}?x07_refresh=secret_query", headers=TOKEN)

    async def line() -> str | None:
        found = [one for one in edge.log.read_text().splitlines() if answer.headers["x-request-id"] in one]
        return found[0] if found else None

    logged = json.loads(await eventually(line))
    assert (logged["path"], logged["status"], logged["cache"]) == (INDEX, 404, "BYPASS")
    text = edge.log.read_text()
    assert not any(secret in text for secret in ("secret_query", "x07t_never", "nor_this"))
