"""A client never sees an older file after a newer one through the edge, whichever reader answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from itertools import cycle, product
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from shared.settings import Settings
from tests.edge.conftest import INDEX, Edge, publish, running_edge
from tests.stack import eventually

CODINGS = ("identity", "gzip", "gzip, deflate, br, zstd", "gzip;q=0, zstd;q=0.5")
ORIGINS = ("", "https://x07.io", "https://elsewhere.example")
PUBLISHES = 25
Wish = tuple[str, dict[str, str]]


@pytest_asyncio.fixture
async def deaf_edge(settings: Settings, tmp_path: Path) -> AsyncIterator[Edge]:
    """An edge with two readers that hear no messages and revalidate their caches every two seconds."""
    namespace = f"{settings.redis_namespace}-apart"
    async with running_edge(
        settings, tmp_path, redis_namespace=namespace, read_ttl_seconds=2.0, edge_fresh_seconds=1
    ) as running:
        yield running


def wishes(*, refresh_every: int) -> Iterator[Wish]:
    """Every way to request one file, in turn; one of this many has x07_refresh."""
    hosts = (("index.x07.io", INDEX.removeprefix("/index")), ("registry.x07.io", INDEX))
    kinds = cycle(product(CODINGS, hosts, ORIGINS))
    for number, (coding, (host, path), origin) in enumerate(kinds, start=1):
        query = "?x07_refresh=1" if number % refresh_every == 0 else ""
        headers = {"host": host, "accept-encoding": coding, "origin": origin}
        yield path + query, {name: value for name, value in headers.items() if value}


def versions_in(answer: httpx.Response) -> int:
    """The number of versions in the index file of an answer."""
    assert answer.status_code == 200
    return len([json.loads(line) for line in answer.content.splitlines()])


async def follow(edge: Edge, wishes: Iterator[Wish], publishing: asyncio.Task[None]) -> list[int]:
    """The number of versions in each answer to one client, until all are published."""
    seen: list[int] = []
    while not publishing.done():
        path, headers = next(wishes)
        seen.append(versions_in(await edge.http.get(path, headers=headers)))
        await asyncio.sleep(0.005)
    return seen


async def publish_many(edge: Edge, headers: dict[str, str]) -> None:
    """Publish one version after another, for longer than the edge keeps a file."""
    for minor in range(2, PUBLISHES):
        await publish(edge, f"0.{minor}.0", headers)
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("failing", [False, True], ids=["readers-well", "readers-failing-in-turn"])
async def test_no_client_goes_back_whatever_it_accepts_and_whoever_answers(
    deaf_edge: Edge, *, failing: bool
) -> None:
    """Two readers learn of a change at different times, and in some cases storage fails from time to time."""
    headers = await publish(deaf_edge)
    await deaf_edge.http.get(INDEX)
    publishing = asyncio.create_task(publish_many(deaf_edge, headers))
    breaking = asyncio.create_task(_break_in_turn(deaf_edge, publishing)) if failing else None
    clients = [wishes(refresh_every=every) for every in (50, 10_000, 10_000)]
    for seen in await asyncio.gather(*(follow(deaf_edge, client, publishing) for client in clients)):
        assert seen == sorted(seen)
        assert len(set(seen)) > 3
    if breaking is not None:
        await breaking
    await publishing

    async def is_newest() -> bool:
        return versions_in(await deaf_edge.http.get(INDEX)) == PUBLISHES - 1

    await eventually(is_newest)


async def _break_in_turn(edge: Edge, publishing: asyncio.Task[None]) -> None:
    """Take storage from the first reader for a while, then from the other, then from both."""
    for mounts in cycle([edge.mounts[:1], edge.mounts[1:], edge.mounts]):
        if publishing.done():
            return
        for mount in mounts:
            mount.lead_nowhere()
        await asyncio.sleep(0.7)
        for mount in mounts:
            mount.lead_to_tree()
        await asyncio.sleep(0.3)
