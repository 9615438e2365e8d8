"""Publishers and readers of a whole registry: the delay of publishes, and the holders of connections."""

from __future__ import annotations

import asyncio
import resource
import select
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from api.write.endpoint import Scope
from deploy.bootstrap import create_token
from shared.host_port import parse_host_port
from shared.settings import Settings
from tests.bench.load import CLIENT_CORE, on_core
from tests.bench.measure import Client, archive_of
from tests.bench.publish import database_url, execute
from tests.bench.read_sides import index_path
from tests.deploy.processes import Up

# The first digits of a request id are the same for all requests of one process.
PROCESS_DIGITS = 22


class Publishers:
    """Users of a running registry, with a token each."""

    def __init__(self, up: Up, count: int) -> None:
        settings = Settings(database_url=database_url(up, "postgres"))
        self._address = up.url.removeprefix("http://")
        self._tokens = [
            asyncio.run(create_token(settings, f"reads-{number}", [Scope.PUBLISH], "bench"))
            for number in range(count)
        ]
        asyncio.run(execute(database_url(up, "postgres"), "UPDATE users SET github_email_verified = true"))

    def publish(self, name: str, version: str, publisher: int = 0, client: Client | None = None) -> None:
        """Publish a version. Returns once it is acknowledged."""
        own = client or Client(self._address)
        headers = {"authorization": f"Bearer {self._tokens[publisher]}"}
        own.require("POST", "/v1/packages/publish", archive_of(name, version), headers)
        if client is None:
            own.close()

    @contextmanager
    def at_work(self) -> Iterator[Callable[[], int]]:
        """Have all of them publish while the block runs; yields the number of acknowledged publishes."""
        is_over = threading.Event()
        counts = [0] * len(self._tokens)

        def work(publisher: int) -> None:
            with on_core(CLIENT_CORE):
                client = Client(self._address)
                while not is_over.is_set():
                    self.publish(new_name(), "0.1.0", publisher, client)
                    counts[publisher] += 1
                client.close()

        threads = [threading.Thread(target=work, args=(number,)) for number in range(len(counts))]
        for thread in threads:
            thread.start()
        try:
            yield lambda: sum(counts)
        finally:
            is_over.set()
            for thread in threads:
                thread.join()


def new_name() -> str:
    """A package name that is not taken."""
    return f"b{uuid.uuid4().hex[:12]}"


def freshness_ms(publishers: Publishers, address: str, count: int) -> list[float]:
    """For each new version: time from acknowledgement until all read processes at the address have its line.

    They have the index file in memory, because they were asked for it just before.
    """
    readers, name, found = _a_reader_each(address), new_name(), []
    path = index_path(name)
    publishers.publish(name, "0.1.0")
    for number in range(1, count + 1):
        for reader in readers:
            reader.require("GET", path)
        publishers.publish(name, f"0.1.{number}")
        acknowledged = time.perf_counter()
        line = f'"version":"0.1.{number}"'.encode()
        for reader in readers:
            while line not in reader.require("GET", path)[1]:
                time.sleep(0.0005)
        found.append((time.perf_counter() - acknowledged) * 1000)
    for reader in readers:
        reader.close()
    return found


def _a_reader_each(address: str, processes: int = 2) -> list[Client]:
    """A connection to each of the processes."""
    readers: dict[str, Client] = {}
    while len(readers) < processes:
        client = Client(address)
        header, _ = client.require("GET", "/healthz")
        process = (header("x-request-id") or "")[:PROCESS_DIGITS]
        if process in readers:
            client.close()
        else:
            readers[process] = client
    return list(readers.values())


@contextmanager
def open_idle(address: str, count: int) -> Iterator[Callable[[], int]]:
    """Open connections that send nothing; yields how many the server still holds."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    opened = []
    try:
        for _ in range(count):
            opened.append(socket.create_connection(parse_host_port(address), timeout=30))
        yield lambda: _settled(opened)
    finally:
        for one in opened:
            one.close()


def _settled(opened: list[socket.socket]) -> int:
    """The number of connections that are left when the server drops no more."""
    before, left = -1, len(opened)
    while left != before:
        time.sleep(1)
        before, left = left, sum(not _is_over(one) for one in opened)
    return left


def _is_over(connection: socket.socket) -> bool:
    """True if the server has closed the connection."""
    poll = select.poll()
    poll.register(connection, select.POLLIN | select.POLLHUP)
    return bool(poll.poll(0))
