"""Load that is cheap for its machine: publishes at a fixed rate, and reads at an even pace.

Each load runs in its own process, over kept-alive sockets, with bodies that differ only in a name.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from multiprocessing.connection import Connection

from shared.host_port import parse_host_port
from tests.bench.measure import archive_of

SPAWN = multiprocessing.get_context("spawn")
START_S = 1.0
LAST_ANSWER_S = 60.0
NAME = "o%012d"
TEMPLATE_NAME = NAME % 0


@dataclass
class Answers:
    """The answers to publishers over these seconds. accepted_s, refused_s: times of answers 200 and 503.

    unsent: requests that were due while every connection waited for an answer.
    """

    seconds: float
    statuses: Counter[int] = field(default_factory=Counter)
    accepted_s: list[float] = field(default_factory=list)
    refused_s: list[float] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    unsent: int = 0

    def per_second(self, *statuses: int) -> float:
        """Answers per second with these statuses; all answers if none is given."""
        return sum(self.statuses[status] for status in statuses or self.statuses) / self.seconds

    def __iadd__(self, other: Answers) -> Answers:
        self.statuses.update(other.statuses)
        self.accepted_s += other.accepted_s
        self.refused_s += other.refused_s
        self.names += other.names
        self.unsent += other.unsent
        return self


@dataclass(frozen=True, slots=True)
class Publishing:
    """The work of one process. number: of the run, whose names are all its own.

    rate: requests per second; None: each connection sends as soon as its last request was answered.
    """

    address: str
    tokens: Sequence[str]
    connections: int
    seconds: float
    rate: float | None
    number: int


def publish(runs: Sequence[Publishing]) -> Answers:
    """Publish with all of them at once, each in a process. Returns their answers together."""
    template = archive_of(TEMPLATE_NAME)
    start_at = time.time() + START_S
    answers = Answers(runs[0].seconds)
    with ProcessPoolExecutor(len(runs), mp_context=SPAWN) as processes:
        for part in processes.map(_publish, runs, [template] * len(runs), [start_at] * len(runs)):
            answers += part
    return answers


def _publish(run: Publishing, template: bytes, start_at: float) -> Answers:
    return asyncio.run(_Publisher(run, template).run(start_at))


class _Publisher:
    def __init__(self, run: Publishing, template: bytes) -> None:
        self._run = run
        self._before, self._after = template.split(TEMPLATE_NAME.encode())
        self._heads = [_head(run.address, token, len(template)) for token in run.tokens]
        self._numbers = count(run.number * 1_000_000)
        self._answers = Answers(run.seconds)

    async def run(self, start_at: float) -> Answers:
        server = parse_host_port(self._run.address)
        idle = [await asyncio.open_connection(*server) for _ in range(self._run.connections)]
        await asyncio.sleep(start_at - time.time())
        end = time.monotonic() + self._run.seconds
        async with asyncio.timeout(self._run.seconds + LAST_ANSWER_S), asyncio.TaskGroup() as group:
            if self._run.rate is None:
                for connection in idle:
                    group.create_task(self._send_on(connection, end))
            else:
                await self._send_at(self._run.rate, idle, end, group)
        return self._answers

    async def _send_on(self, connection: _Streams, end: float) -> None:
        while time.monotonic() < end:
            await self._send(connection)

    async def _send_at(self, rate: float, idle: list[_Streams], end: float, group: asyncio.TaskGroup) -> None:
        async def send(connection: _Streams) -> None:
            await self._send(connection)
            idle.append(connection)

        due = time.monotonic()
        while due < end:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if idle:
                group.create_task(send(idle.pop()))
            else:
                self._answers.unsent += 1
            due += 1 / rate

    async def _send(self, connection: _Streams) -> None:
        reader, writer = connection
        number = next(self._numbers)
        name, begun = NAME % number, time.perf_counter()
        head = self._heads[number % len(self._heads)]
        writer.write(b"".join((head, self._before, name.encode(), self._after)))
        status, length = _parse_head(await reader.readuntil(b"\r\n\r\n"))
        await reader.readexactly(length)
        took_s = time.perf_counter() - begun
        self._answers.statuses[status] += 1
        if status == 200:
            self._answers.accepted_s.append(took_s)
            self._answers.names.append(name)
        elif status == 503:
            self._answers.refused_s.append(took_s)


_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def _head(address: str, token: str, length: int) -> bytes:
    lines = [
        "POST /v1/packages/publish HTTP/1.1",
        f"host: {address}",
        f"authorization: Bearer {token}",
        "content-type: application/octet-stream",
        f"content-length: {length}",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def _parse_head(head: bytes) -> tuple[int, int]:
    """Status and length of the body."""
    found = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
    return int(head.split(b" ", 2)[1]), int(found)


@dataclass
class Reads:
    """Seconds of each read, by address; delays of the reader's own timer; statuses other than 200."""

    each_s: dict[str, list[float]]
    late_s: list[float] = field(default_factory=list)
    failed: int = 0


@contextmanager
def reading(addresses: Sequence[str], path: str, pause_s: float) -> Iterator[Reads]:
    """Read a path of each address at this pace meanwhile. The figures are complete at the end."""
    reads = Reads({})
    ours, its = SPAWN.Pipe()
    process = SPAWN.Process(target=_read_until_told, args=(addresses, path, pause_s, its))
    process.start()
    ours.recv()
    try:
        yield reads
    finally:
        ours.send(None)
        heard: Reads = ours.recv()
        reads.each_s, reads.late_s, reads.failed = heard.each_s, heard.late_s, heard.failed
        process.join()


def _read_until_told(addresses: Sequence[str], path: str, pause_s: float, parent: Connection) -> None:
    clients = {address: _Reader(address, path) for address in addresses}
    reads = Reads({address: [] for address in addresses})
    parent.send(None)
    due = time.perf_counter()
    while not parent.poll():
        time.sleep(max(0.0, due - time.perf_counter()))
        reads.late_s.append(time.perf_counter() - due)
        for address, client in clients.items():
            begun = time.perf_counter()
            reads.failed += client.read() != 200
            reads.each_s[address].append(time.perf_counter() - begun)
        due = max(due + pause_s, time.perf_counter())
    parent.send(reads)


class _Reader:
    """One blocking connection."""

    def __init__(self, address: str, path: str) -> None:
        self._socket = socket.create_connection(parse_host_port(address))
        self._request = f"GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n".encode()

    def read(self) -> int:
        """Read one whole answer. Returns its status."""
        self._socket.sendall(self._request)
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._socket.recv(1 << 16)
        head, _, body = data.partition(b"\r\n\r\n")
        status, length = _parse_head(head + b"\r\n")
        while len(body) < length:
            body += self._socket.recv(1 << 16)
        return status
