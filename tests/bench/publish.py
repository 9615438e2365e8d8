"""A publish of 24 KB, acknowledged and visible in the index, beside the floor, devpi and verdaccio."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from subprocess import Popen
from typing import Any

import asyncpg

from api.write.endpoint import Scope
from deploy.bootstrap import create_token
from deploy.migrations.runner import migrate
from shared.names import parse_name, shard_path
from shared.settings import Settings
from tests.bench.floor import Floor
from tests.bench.measure import (
    ARCHIVE_BYTES,
    Client,
    Times,
    archive_of,
    better,
    print_table,
    timed_at_once,
)
from tests.bench.peers import NotInstalled, Peer, running_devpi, running_verdaccio
from tests.bench.syncs import syncs_of
from tests.deploy.processes import Up

ROUNDS = 2
ALONE = 100
PUBLISHERS = 16
EACH = 20
WARM_UP = 10
TRACED = 10
AIM_RATIO = 5.0
NOT_KNOWN = "not known (no strace)"
# Triggers raise the generation for other programs' changes; our own statements raise it themselves.
AS_OURS = {"application_name": "x07-registry"}


PEERS = {
    "devpi-server": running_devpi,
    "verdaccio": running_verdaccio,
    "verdaccio-synced": partial(running_verdaccio, writes_through=True),
}


@dataclass(frozen=True, slots=True)
class Side:
    """One measured registry. publish: makes a call that publishes a new package, through a client.

    writes_through: the kernel syncs each of its writes.
    """

    name: str
    process: Popen[bytes]
    address: str
    publish: Callable[[Client, int], Callable[[], None]]
    writes_through: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """The measurements of one side. syncs: its syncs per publish, in words."""

    name: str
    alone: Times
    at_once: Times
    syncs: str


def main() -> None:
    """Print the table. Rounds alternate between the sides, and the better round of each counts."""
    with tempfile.TemporaryDirectory(prefix="x07-bench-") as text, ExitStack() as stack:
        directory = Path(text)
        up = Up(directory / "registry")
        stack.callback(up.stop)
        sides, missing = [publishing_side(up)], []
        for name, running in PEERS.items():
            (home := directory / name).mkdir()
            try:
                sides.append(_side(stack.enter_context(running(home))))
            except (NotInstalled, RuntimeError) as error:
                missing.append(f"MISSING: {name} does not run here: {error}")
        floors: list[Times] = []
        alone: dict[str, list[Times]] = {side.name: [] for side in sides}
        at_once: dict[str, list[Times]] = {side.name: [] for side in sides}
        for _ in range(ROUNDS):
            floors.append(asyncio.run(_floor(up, directory)))
            for side in sides:
                print(f"measuring {side.name}", file=sys.stderr, flush=True)
                alone[side.name].append(run_side(side, 1, ALONE))
                at_once[side.name].append(run_side(side, PUBLISHERS, EACH))
        results = [
            Result(side.name, better(alone[side.name]), better(at_once[side.name]), _syncs(side, directory))
            for side in sides
        ]
    _print(better(floors), results, missing)


def publishing_side(up: Up, publishers: int = PUBLISHERS) -> Side:
    """The registry, with a token for each publisher."""
    settings = Settings(database_url=database_url(up, "postgres"))
    tokens = [
        asyncio.run(create_token(settings, f"bench-{number}", [Scope.PUBLISH], "bench"))
        for number in range(publishers)
    ]
    asyncio.run(execute(database_url(up, "postgres"), "UPDATE users SET github_email_verified = true"))

    def publish(client: Client, publisher: int) -> Callable[[], None]:
        name = _new_name()
        body, headers = archive_of(name), {"authorization": f"Bearer {tokens[publisher]}"}

        def call() -> None:
            header, _ = client.require("POST", "/v1/packages/publish", body, headers)
            if header("x-x07-index-published") != "true":
                while client.call("GET", f"/index/{shard_path(parse_name(name))}")[0] != 200:
                    pass

        return call

    return Side("x07-registry up", up.process, up.url.removeprefix("http://"), publish)


def _side(peer: Peer) -> Side:
    def publish(client: Client, publisher: int) -> Callable[[], None]:
        method, path, body, headers = peer.prepare(name := _new_name(), archive_of(name))
        return lambda: client.require(method, path, body, headers) and None

    return Side(peer.name, peer.process, peer.address, publish, peer.writes_through)


def run_side(side: Side, publishers: int, each: int, warm_up: int = WARM_UP) -> Times:
    """Publish so many packages with so many publishers. warm_up: publishes before, which are not timed."""
    with _clients(side, publishers) as clients:
        for number, client in enumerate(clients):
            for _ in range(-(-warm_up // publishers)):
                side.publish(client, number)()
        work = [[side.publish(client, number) for _ in range(each)] for number, client in enumerate(clients)]
        return timed_at_once(work)


def _syncs(side: Side, directory: Path) -> str:
    """Sync calls per publish, counted in a separate run, because strace slows a server."""
    if side.writes_through:
        return "every write"
    with _clients(side, 1) as [client]:
        work = [side.publish(client, 0) for _ in range(TRACED)]

        def publish_all() -> None:
            for call in work:
                call()

        count = syncs_of(side.process, directory, publish_all)
    return NOT_KNOWN if count is None else f"{count / TRACED:.1f}"


@contextmanager
def _clients(side: Side, count: int) -> Iterator[list[Client]]:
    clients = [Client(side.address) for _ in range(count)]
    try:
        yield clients
    finally:
        for client in clients:
            client.close()


async def _floor(up: Up, directory: Path) -> Times:
    """The lower bound, in a database of its own on the registry's Postgres, which is idle meanwhile."""
    number = uuid.uuid4().hex
    root = directory / f"floor-{number}"
    root.mkdir()
    await execute(database_url(up, "postgres"), f"CREATE DATABASE floor_{number}")
    url = database_url(up, f"floor_{number}")
    await migrate(Settings(database_url=url))
    connection = await asyncpg.connect(url, server_settings=AS_OURS)
    try:
        user_id = await connection.fetchval("INSERT INTO users (handle) VALUES ('bench') RETURNING id")
        floor = Floor(connection, root, user_id)
        return await _timed_floor(floor)
    finally:
        await connection.close()


async def _timed_floor(floor: Floor) -> Times:
    loop, each = asyncio.get_running_loop(), []
    for place in range(WARM_UP + ALONE):
        archive = archive_of(name := _new_name())
        start = loop.time()
        await floor.publish(name, "0.1.0", archive)
        if place >= WARM_UP:
            each.append(loop.time() - start)
    return Times(each, sum(each))


async def execute(url: str, sql: str) -> None:
    connection: Any = await asyncpg.connect(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


def database_url(up: Up, name: str) -> str:
    """A database of the embedded Postgres that `up` started."""
    sockets = (up.data_dir / "run").resolve()
    return f"postgresql://postgres@/{name}?host={sockets}&port=5432"


def _new_name() -> str:
    return f"b{uuid.uuid4().hex[:12]}"


def _print(floor: Times, results: list[Result], missing: list[str]) -> None:
    columns = ["", "1: p50 ms", "p95 ms", "x floor", "16: p50 ms", "p95 ms", "a second", "syncs each"]
    rows = [["floor, bare", f"{floor.p50_ms:.1f}", f"{floor.p95_ms:.1f}", "1.0", "", "", "", ""]]
    rows += [_row(result, floor) for result in results]
    ours, *peers = results
    ratio = ours.alone.p50_ms / floor.p50_ms
    notes = [
        *missing,
        f"1 publisher: {ratio:.1f} times the floor; aim {AIM_RATIO:.0f}: {_verdict(ratio <= AIM_RATIO)}",
        *(_compared(ours, peer) for peer in peers),
        "every publish is the first version of a new package; ours counts until the index shows it",
        f"floor: {floor.per_second:.0f} a second, one after another; each publisher keeps one connection",
        f"better of {ROUNDS} alternating rounds; {ALONE} publishes at 1, {PUBLISHERS * EACH} at {PUBLISHERS}",
        "syncs each: fsync, fdatasync … of the server, by strace in a run of its own",
    ]
    print_table(f"publish of {ARCHIVE_BYTES // 1024} KB until visible", "publish", columns, rows, notes)


def _row(result: Result, floor: Times) -> list[str]:
    one, many = result.alone, result.at_once
    ratio = f"{one.p50_ms / floor.p50_ms:.1f}"
    figures = [f"{one.p50_ms:.1f}", f"{one.p95_ms:.1f}", ratio, f"{many.p50_ms:.1f}", f"{many.p95_ms:.1f}"]
    return [result.name, *figures, f"{many.per_second:.0f}", result.syncs]


def _compared(ours: Result, peer: Result) -> str:
    """Compare a peer with us at 16 publishers, and say whether its acknowledged data is on disk."""
    p50 = peer.at_once.p50_ms / ours.at_once.p50_ms
    rate = ours.at_once.per_second / peer.at_once.per_second
    synced = {NOT_KNOWN: "unknown whether it syncs", "0.0": "does NOT sync"}.get(peer.syncs, "syncs")
    return (
        f"{PUBLISHERS} publishers, {peer.name} ({synced}): its p50 is {p50:.2f} times ours, "
        f"our rate {rate:.2f} times its; aim ahead in both: {_verdict(p50 > 1 and rate > 1)}"
    )


def _verdict(is_met: bool) -> str:
    return "met" if is_met else "MISSED"


if __name__ == "__main__":
    main()
