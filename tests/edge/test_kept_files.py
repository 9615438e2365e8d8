"""The edge stores each file once for all clients, and confirms it with a reader."""

from __future__ import annotations

import asyncio
import gzip as gzip_of_stdlib
import time
from itertools import product
from pathlib import Path

import httpx
import pytest

from shared.settings import Settings
from tests.archives import hello_archive
from tests.edge.conftest import ARCHIVE, INDEX, Edge, publish, running_edge
from tests.stack import eventually

Headers = dict[str, str]

TOKEN = {"authorization": "Bearer x07t_never_seen_by_readers", "cookie": "x07_session=nor_this"}


async def test_one_answer_serves_every_reader_whatever_token_or_query_they_send(edge: Edge) -> None:
    """The command line sends a token with every read; it neither splits the cache nor reaches a reader."""
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


async def test_a_file_is_kept_once_for_every_host_origin_coding_and_spelling(
    settings: Settings, tmp_path: Path
) -> None:
    """There is one copy on disk, made by one request."""
    release = "/v1/packages/hello/1.0.0{}build.5/download"
    reads = [("registry.x07.io", INDEX), ("index.x07.io", INDEX), ("index.x07.io", "/he/ll/hello")]
    plus_signs = [("registry.x07.io", "+"), ("index.x07.io", "%2B"), ("index.x07.io", "%2b")]
    reads += [(host, release.format(sign)) for host, sign in plus_signs]
    origins = ({}, *({"origin": f"https://{name}.example"} for name in "abc"))
    async with running_edge(settings, tmp_path, edge_fresh_seconds=600) as edge:
        headers = await publish(edge)
        for minor in range(2, 22):
            await publish(edge, f"0.{minor}.0", headers)
        await publish(edge, "1.0.0+build.5", headers)
        for origin, coding in product(origins, ("identity", "gzip", "zstd, gzip")):
            for host, path in reads:
                fields = {"accept-encoding": coding, "host": host, **origin}
                assert (await edge.http.get(path, headers=fields)).status_code == 200
        seen = [target for target, _ in edge.reads.seen if target != "/healthz"]
        assert sorted(seen) == [INDEX, release.format("+")]
        kept = edge.log.parent / "run" / "cache"
        assert len([path for path in kept.rglob("*") if path.is_file()]) == 2


async def test_an_answer_is_the_readers_own(edge: Edge) -> None:
    """The bytes are the same, whatever the client accepts: stored as gzip, and decompressed if needed."""
    headers = await publish(edge)
    for minor in range(2, 22):
        await publish(edge, f"0.{minor}.0", headers)
    gzip = await _raw(edge, {"accept-encoding": "gzip"})
    identity = await _raw(edge, {"accept-encoding": "identity"})
    everything = await _raw(edge, {"accept-encoding": "gzip, deflate, br, zstd"})
    refused = await _raw(edge, {"accept-encoding": "gzip;q=0, zstd;q=1"})
    direct = await edge.registry.http.get(INDEX, headers={"accept-encoding": "identity"})
    assert gzip[0]["content-encoding"] == "gzip"
    assert (everything[1], everything[0]["etag"]) == (gzip[1], gzip[0]["etag"])
    assert gzip_of_stdlib.decompress(gzip[1]) == identity[1] == refused[1] == direct.content
    assert "content-encoding" not in identity[0]
    for name in ("cache-control", "content-type", "vary"):
        assert direct.headers[name] == gzip[0][name] == identity[0][name], name
    assert direct.headers["cache-control"] == "public, max-age=300"


async def test_a_validator_is_strong_for_the_bytes_it_was_made_of_and_weak_for_others(edge: Edge) -> None:
    """A body decompressed at the edge has the reader's ETag as a weak one; either confirms the other."""
    headers = await publish(edge)
    for minor in range(2, 22):
        await publish(edge, f"0.{minor}.0", headers)
    packed, plain = {"accept-encoding": "gzip"}, {"accept-encoding": "identity"}
    strong = (await edge.http.get(INDEX, headers=packed)).headers["etag"]
    weak = (await edge.http.get(INDEX, headers=plain)).headers["etag"]
    assert weak == f"W/{strong}"
    for accepted in (packed, plain):
        for validator in (strong, weak, f'"another", {weak}', "*"):
            answer = await edge.http.get(INDEX, headers=accepted | {"if-none-match": validator})
            assert (answer.status_code, answer.content) == (304, b""), (accepted, validator)
            assert answer.headers["etag"].removeprefix("W/") == strong
            assert answer.headers["cache-control"] == "public, max-age=300"
    assert (await edge.http.get(INDEX, headers=packed | {"if-none-match": '"another"'})).status_code == 200
    await publish(edge, "0.22.0", headers)
    await edge.http.get(f"{INDEX}?x07_refresh=1")
    changed = await edge.http.get(INDEX, headers=plain | {"if-none-match": weak})
    assert (changed.status_code, b"0.22.0" in changed.content) == (200, True)


async def _raw(edge: Edge, headers: dict[str, str]) -> tuple[httpx.Headers, bytes]:
    async with edge.http.stream("GET", INDEX, headers=headers) as answer:
        return answer.headers, b"".join([chunk async for chunk in answer.aiter_raw()])


async def test_refresh_reads_past_the_cache_and_brings_it_up_to_date(edge: Edge) -> None:
    """`?x07_refresh=`, also with an empty value, never gives an answer older than storage."""
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
    """Even without `?x07_refresh=` a reader sees a publish within 5 s, whatever max-age tells clients."""
    headers = await publish(edge)
    await edge.http.get(INDEX)
    await publish(edge, "0.2.0", headers)

    async def is_new() -> bool:
        return b'"0.2.0"' in (await edge.http.get(INDEX)).content

    await eventually(is_new)


async def test_many_who_ask_for_the_same_archive_at_once_cost_one_read(edge: Edge) -> None:
    """One request fills the cache, and the others wait for it."""
    await publish(edge)
    answers = await asyncio.gather(*(edge.http.get(ARCHIVE, headers=TOKEN) for _ in range(20)))
    assert {answer.content for answer in answers} == {hello_archive()}
    assert edge.reads.count(ARCHIVE) == 1


async def test_ranges_of_an_archive_are_cut_from_the_whole(edge: Edge) -> None:
    """An interrupted download continues, from the cache and before the cache is filled."""
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
    assert (beyond.status_code, beyond.json()["code"]) == (416, "X07REG_RANGE_NOT_SATISFIABLE")
    assert beyond.headers["content-range"] == f"bytes */{len(whole)}"
    assert edge.reads.count(ARCHIVE) == 1


async def test_what_is_kept_is_served_while_no_reader_answers_and_says_so(edge: Edge) -> None:
    """A stale copy is served if there is one; otherwise the answer is an error that asks to retry."""
    await publish(edge)
    first = await edge.http.get(INDEX)
    assert "x-x07-stale" not in first.headers
    edge.reads.broken = True

    async def is_marked() -> bool:
        answer = await edge.http.get(INDEX)
        assert (answer.status_code, answer.content) == (200, first.content)
        return answer.headers.get("x-x07-stale") == "true"

    await eventually(is_marked)
    unchanged = await edge.http.get(INDEX, headers={"if-none-match": first.headers["etag"]})
    assert (unchanged.status_code, unchanged.headers["x-x07-stale"]) == (304, "true")
    assert (await edge.http.get("/index/no/th/nothing")).status_code == 503
    edge.reads.broken = False
    confirmed = await edge.http.get(INDEX)
    assert (confirmed.status_code, "x-x07-stale" in confirmed.headers) == (200, False)


@pytest.mark.parametrize("fault", ["no-server", "no-storage"])
async def test_what_is_kept_is_served_for_as_long_as_the_setting_says(
    settings: Settings, tmp_path: Path, fault: str
) -> None:
    """After X07_REGISTRY_EDGE_STALE_SECONDS without a reader, the answer is 503."""
    async with running_edge(settings, tmp_path, edge_fresh_seconds=1, edge_stale_seconds=4) as edge:
        await publish(edge)
        await edge.http.get(INDEX)
        began = time.monotonic()
        if fault == "no-server":
            await edge.stop_readers()
        else:
            for mount in edge.mounts:
                mount.lead_nowhere()
        marked = 0

        async def is_over() -> bool:
            nonlocal marked
            answer = await edge.http.get(INDEX)
            marked += answer.headers.get("x-x07-stale") == "true"
            return answer.status_code == 503

        await eventually(is_over)
        assert marked > 0
        assert time.monotonic() - began >= 4


async def test_a_reader_without_storage_answers_what_the_edge_does_not_hold(
    settings: Settings, tmp_path: Path
) -> None:
    """It answers from memory, marked as stale, within the same limit; the edge stores no copy of that."""
    async with running_edge(
        settings, tmp_path, read_ttl_seconds=0.1, edge_fresh_seconds=1, edge_stale_seconds=5
    ) as edge:
        headers = await publish(edge)
        for url in edge.reader_urls:
            await edge.http.get(f"{url}{INDEX}")
        for mount in edge.mounts:
            mount.lead_nowhere()
        await asyncio.sleep(0.2)
        answer = await edge.http.get(INDEX)
        assert (answer.status_code, answer.headers["x-x07-stale"]) == (200, "true")

        async def is_over() -> bool:
            return (await edge.http.get(INDEX)).status_code == 503

        await eventually(is_over)
        for mount in edge.mounts:
            mount.lead_to_tree()
        await publish(edge, "0.2.0", headers)
        assert b'"0.2.0"' in (await edge.http.get(INDEX)).content


async def test_a_reader_that_lost_storage_goes_on_answering_what_it_holds(edge: Edge) -> None:
    """It answers 503 for another file. Every reader would, so the edge does not avoid this one."""
    await publish(edge)
    lost = "/index/no/th/nothing"
    edge.reads.lost = frozenset({lost})
    for number in range(6):
        assert (await edge.http.get(lost)).status_code == 503
        answer = await edge.http.get(f"{INDEX}?x07_refresh={number}")
        assert answer.status_code == 200, number
