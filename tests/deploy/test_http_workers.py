"""`x07-registry serve --workers N`: several processes behind one address."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from deploy.local.own_services import variables_to
from deploy.local.valkey import EmbeddedValkey
from shared.host_port import parse_host_port
from shared.messages import Change, Notifier
from shared.settings import Settings
from shared.storage.interface import Storage
from shared.storage.opening import open_storage
from tests.api.read.faulty_storage import put
from tests.conftest import MakeSettings
from tests.deploy.processes import COMMAND, DEADLINE_S, descendants, environment, is_alive, until

KEY, PATH = "index/he/ll/hello", "/index/he/ll/hello"
LARGE_KEY, LARGE_PATH = "dl/hello/0.1.0/download", "/v1/packages/hello/0.1.0/download"
LARGE_BODY = bytes(16 << 20)
CONNECTIONS = 24
PROCESS_DIGITS = 22
"""The number of first digits that all request ids of one process share."""


class Workers:
    """A running `serve read --workers 2`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.process = process
        self._connections = ExitStack()
        word, self.address = process.stdout.readline().split()
        assert word == "listening"

    @property
    def pids(self) -> set[int]:
        """The read processes that run at present."""
        return {pid for pid in descendants(self.process.pid) if is_alive(pid)}

    def connect(self) -> http.client.HTTPConnection:
        """A connection to one of the processes."""
        connection = http.client.HTTPConnection(self.address, timeout=DEADLINE_S)
        self._connections.callback(connection.close)
        return connection

    def close(self) -> None:
        """Close every connection."""
        self._connections.close()

    def connections(self) -> list[http.client.HTTPConnection]:
        """Connections to both processes."""
        connections = [self.connect() for _ in range(CONNECTIONS)]
        assert len({get(one, "/healthz")[0] for one in connections}) == 2
        return connections


def get(connection: http.client.HTTPConnection, path: str) -> tuple[str, bytes]:
    """The process that answered 200, and the body."""
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200, body
    return (answer.getheader("x-request-id") or "")[:PROCESS_DIGITS], body


@contextmanager
def workers(root: Path, kind: str = "read", **variables: str) -> Iterator[Workers]:
    """Two workers over a directory; nothing is left of them at the end."""
    with subprocess.Popen(
        [*COMMAND, "serve", kind, "--workers", "2", "--bind", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment(**{"X07_REGISTRY_DATA_DIR": str(root)} | variables),
    ) as process:
        try:
            with closing(Workers(process)) as running:
                yield running
        finally:
            pids = set(descendants(process.pid)) if process.poll() is None else set()
            process.kill()
            until(lambda: not any(is_alive(pid) for pid in pids))


async def tree(root: Path) -> tuple[Settings, Storage]:
    """A store over a directory that holds one index file."""
    settings = Settings(data_dir=root)
    storage = await open_storage(settings)
    await put(storage, KEY, b"old\n")
    return settings, storage


async def test_every_worker_hears_change_messages(tmp_path: Path, valkey: EmbeddedValkey) -> None:
    """A reader gets fresh files, whichever process it reaches."""
    settings, storage = await tree(tmp_path)
    settings = settings.model_copy(
        update={"redis_url": SecretStr(valkey.url), "redis_namespace": tmp_path.name}
    )
    variables = {
        "X07_REGISTRY_REDIS_URL": valkey.url,
        "X07_REGISTRY_REDIS_NAMESPACE": tmp_path.name,
        "X07_REGISTRY_READ_TTL_SECONDS": "3600",
    }
    with workers(tmp_path, **variables) as running:
        connections = running.connections()
        assert {get(one, PATH)[1] for one in connections} == {b"old\n"}
        await put(storage, KEY, b"new\n")
        notifier = Notifier(settings)

        def is_new_everywhere() -> bool:
            return {get(one, PATH)[1] for one in connections} == {b"new\n"}

        await notifier.announce(Change((KEY,)))
        until(is_new_everywhere)
        await notifier.close()
    await storage.close()


async def test_a_worker_that_is_killed_is_started_again(tmp_path: Path) -> None:
    """The other one answers meanwhile: no new connection waits for the dead process."""
    _, storage = await tree(tmp_path)
    with workers(tmp_path) as running:
        running.connections()
        before = running.pids
        killed = min(before)
        os.kill(killed, signal.SIGKILL)
        until(lambda: not Path(f"/proc/{killed}").exists())  # all threads are gone, and so is its listener
        while len(running.pids) < 2:
            began = time.monotonic()
            assert get(running.connect(), PATH)[1] == b"old\n"
            assert time.monotonic() - began < DEADLINE_S / 2
        until(lambda: len({get(running.connect(), PATH)[0] for _ in range(CONNECTIONS)}) == 2)
        assert len(running.pids - before) == 1
    await storage.close()


async def test_workers_end_what_they_answer_when_they_are_stopped(tmp_path: Path) -> None:
    """SIGTERM to the parent drains each process; afterwards nobody listens and nothing runs."""
    _, storage = await tree(tmp_path)
    await put(storage, LARGE_KEY, LARGE_BODY)
    with workers(tmp_path) as running:
        pids = running.pids
        connection = running.connect()
        connection.request("GET", LARGE_PATH)
        answer = connection.getresponse()
        assert answer.read(1) == LARGE_BODY[:1]
        running.process.send_signal(signal.SIGTERM)
        until(lambda: is_refused(running.address))
        assert answer.read() == LARGE_BODY[1:]
        assert running.process.wait(DEADLINE_S) == 0
        assert not any(is_alive(pid) for pid in pids)
    await storage.close()


def is_refused(address: str) -> bool:
    """True if nobody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(parse_host_port(address)) != 0


async def test_write_processes_share_an_address_too(
    tmp_path: Path, make_default_settings: MakeSettings
) -> None:
    """Both need the database, and answer."""
    settings = await make_default_settings()
    with workers(tmp_path, "write", **variables_to(settings)) as running:
        assert len(running.connections()) == CONNECTIONS


async def test_workers_die_with_their_parent(tmp_path: Path) -> None:
    """After a parent was killed, nothing listens on its address."""
    _, storage = await tree(tmp_path)
    with workers(tmp_path) as running:
        pids = running.pids
        running.process.kill()
        until(lambda: not any(is_alive(pid) for pid in pids))
    await storage.close()


@pytest.mark.parametrize(
    ("arguments", "variables", "status", "message"),
    [
        (["serve", "read", "--workers", "2"], {"X07_REGISTRY_STORAGE": "ftp"}, 2, "X07_REGISTRY_STORAGE"),
        (["serve", "read", "--workers", "2", "--bind", "256.0.0.1:1"], {}, 1, "cannot listen on 256.0.0.1:1"),
    ],
)
def test_workers_that_cannot_start_are_told(
    arguments: list[str], variables: dict[str, str], status: int, message: str
) -> None:
    """The whole command ends with a message, instead of retrying forever."""
    answer = subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment(**variables),
        timeout=DEADLINE_S,
    )
    assert answer.returncode == status
    assert message in answer.stderr
