"""Connections of the read tier: the limits hold on the fast path and on the ordinary one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from api.read.fast_path import FastProtocol
from api.read.fast_server import FastServer
from shared.http import connections, guarded_protocol
from shared.http.guarded_protocol import GuardedProtocol
from tests.api.read.http.reading import ARCHIVE_KEY, ARCHIVE_PATH, BODIES, INDEX_KEY, INDEX_PATH, Reading
from tests.shared.http.raw import Connection, head
from tests.stack import eventually

HOST = b"host: registry.example"
ASK = head(INDEX_PATH.encode(), HOST)


def address_of(tier: Reading) -> str:
    """The address on which the service listens."""
    return tier.http.base_url.netloc.decode()


async def server_of(tier: Reading) -> FastServer:
    """The state that the connections of this service share; it exists after the first connection."""
    await (await Connection.open(address_of(tier))).ask(ASK)
    return list(FastProtocol._servers.values())[-1]


def ordinary_ones(server: FastServer) -> int:
    """The number of connections that have created the ordinary protocol."""
    return sum(isinstance(one, GuardedProtocol) for one in server.live)


async def until(condition: Callable[[], bool]) -> None:
    async def is_so() -> bool:
        return condition()

    await eventually(is_so)


async def test_only_the_first_reader_of_a_blob_needs_the_ordinary_protocol(own_tier: Reading) -> None:
    """The command line opens one connection per request, so connections must be cheap."""
    server = await server_of(own_tier)
    opened = []
    for _ in range(20):
        opened.append(await Connection.open(address_of(own_tier)))
        assert (await opened[-1].ask(ASK)).endswith(BODIES[INDEX_KEY])
    assert len(server.live) >= 20
    assert ordinary_ones(server) <= 1


async def test_a_connection_goes_from_one_way_to_the_other_and_back(own_tier: Reading) -> None:
    """Fast, refused, loaded from storage, half a head, and fast again, in order on one connection."""
    await server_of(own_tier)
    connection = await Connection.open(address_of(own_tier))
    for data, status in (
        (ASK, b"200"),
        (head(b"/index/he/ll/hellx", HOST), b"404"),
        (ASK, b"200"),
        (head(ARCHIVE_PATH.encode(), HOST), b"200"),
        (ASK, b"200"),
    ):
        assert (await connection.ask(data)).startswith(b"HTTP/1.1 " + status)
    await connection.send(ASK[:20])
    assert (await connection.ask(ASK[20:])).endswith(BODIES[INDEX_KEY])
    assert (await connection.ask(ASK)).endswith(BODIES[INDEX_KEY])


@pytest.mark.parametrize("data", [b"", ASK])
async def test_an_idle_connection_is_closed_after_a_while(own_tier: Reading, data: bytes) -> None:
    """An unused connection is closed too; one that was used meanwhile is kept."""
    server = await server_of(own_tier)
    used, idle = [await Connection.open(address_of(own_tier)) for _ in range(2)]
    if data:
        await idle.ask(data)
    await until(lambda: len(server.live) >= 2)
    then = time.monotonic()
    await used.ask(ASK)
    for connection in list(server.live):
        connection.sweep(then + server.keep_alive_s)
    assert await idle.is_ended()
    assert (await used.ask(ASK)).endswith(BODIES[INDEX_KEY])


async def test_too_many_connections_make_room_for_new_ones(
    own_tier: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connections that were idle longest are closed, and every new client gets an answer."""
    server = await server_of(own_tier)
    monkeypatch.setattr(server.connections, "limit", 40)
    opened = [await Connection.open(address_of(own_tier)) for _ in range(200)]
    assert (await opened[-1].ask(ASK)).endswith(BODIES[INDEX_KEY])
    assert await opened[0].is_ended()
    assert 20 <= len(server.live) <= 40


async def test_a_reader_who_takes_nothing_is_dropped(
    own_tier: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server buffers a limited amount for it, for a limited time."""
    monkeypatch.setattr(guarded_protocol, "STALL_TIMEOUT_S", 1)
    monkeypatch.setattr(connections, "SWEEP_S", 0.05)
    server = await server_of(own_tier)
    await own_tier.put(ARCHIVE_KEY, bytes(60_000))
    slow = await Connection.open(address_of(own_tier), receive_bytes=4096)
    async with asyncio.timeout(60):
        while server.connections._held_bytes == 0:
            await slow.send(head(ARCHIVE_PATH.encode(), HOST))
            await asyncio.sleep(0.001)  # lets the server, which runs in this loop, read one at a time
    await until(lambda: not server.live)
    assert server.connections._held_bytes == 0


async def test_a_server_that_stops_does_not_wait_for_idle_connections(own_tier: Reading) -> None:
    """They are closed as soon as the server stops; the fixture would wait for any others."""
    server = await server_of(own_tier)
    idle = await Connection.open(address_of(own_tier))
    await until(lambda: len(server.live) > 0)
    for connection in list(server.live):
        connection.shutdown()  # uvicorn does this for each connection
    assert await idle.is_ended()
