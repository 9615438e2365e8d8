"""`x07-registry up` as a person runs it: starting, killing parts, stopping."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from api.write.upload import BUFFER_BYTES
from deploy.local.home import open_home
from tests.deploy.processes import COMMAND, Up, descendants, environment, is_alive, until

STOP_LIMIT_S = 30.0
PARTS = ("deploy.cli serve", "deploy.cli worker", "bin/postgres", "valkey-server")


@pytest.fixture
def up(closed_dir: Path) -> Iterator[Up]:
    """A registry that has started on an empty directory."""
    yield from _running(closed_dir)


@pytest.fixture(scope="module")
def lasting_up() -> Iterator[Up]:
    """A registry for tests that leave it running."""
    with tempfile.TemporaryDirectory(prefix="x07-test-") as directory:
        yield from _running(Path(directory))


def _running(directory: Path) -> Iterator[Up]:
    running = Up(directory / "data")
    yield running
    if running.process.poll() is None:
        running.stop()


def everything_of(up: Up) -> list[int]:
    """Every process of the registry."""
    return [up.process.pid, *descendants(up.process.pid)]


def assert_serves(up: Up) -> None:
    """Reads and writes work; writes need the database."""
    until(lambda: up.answers("/index/config.json"))
    assert up.get("/index/config.json").startswith(b'{"dl":"' + up.url.encode())
    until(lambda: up.answers("/v1/account", up.token))


def test_a_fresh_directory_becomes_a_registry_that_stops_without_a_trace(up: Up) -> None:
    """When the command says that it listens, the index is there. Only the owner can read the token.

    After a stop, no process and no socket is left.
    """
    assert up.get("/index/catalog.json") == b'{"schema_version":"x07.index-catalog@0.1.0","packages":[]}\n'
    assert_serves(up)
    assert "--data-binary @hello.tar" in up.output
    assert (up.data_dir / "token").stat().st_mode & 0o777 == 0o600
    processes, sockets = everything_of(up), (up.data_dir / "run").resolve()
    assert all(any(part in command for command in descendants(up.process.pid).values()) for part in PARTS)
    assert up.stop(signal.SIGTERM) == 0
    assert not any(map(is_alive, processes))
    assert not sockets.exists()


def test_one_that_other_machines_reach_says_where_they_are_sent(closed_dir: Path) -> None:
    """They are sent to this machine's own loopback address, unless the URL is configured."""
    up = Up(closed_dir / "data", bind="0.0.0.0:0")
    assert re.search(r"downloads +http://127\.0\.0\.1:\d+\n.*set X07_REGISTRY_PUBLIC_BASE", up.output), (
        up.output
    )
    assert up.stop() == 0


def test_whatever_part_is_killed_comes_back(lasting_up: Up) -> None:
    """The HTTP process, the worker, Postgres and Valkey are each restarted."""
    for part in PARTS:
        killed = lasting_up.pid_of(part)
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        until(lambda part=part, killed=killed: lasting_up.pid_of(part) not in (None, killed))
        assert_serves(lasting_up)


def test_it_starts_again_after_everything_was_killed(up: Up) -> None:
    """Directory and token stay the same. If the command alone is killed, all its processes end."""
    token, written = up.token, (up.data_dir / "token").stat().st_mtime_ns
    for pid in everything_of(up):
        with suppress(ProcessLookupError):  # some end together with the previous one
            os.kill(pid, signal.SIGKILL)
    up.process.wait()
    again = Up(up.data_dir)
    assert again.get("/index/config.json").startswith(b'{"dl":"' + again.url.encode())  # a new port
    assert_serves(again)
    assert (again.token, (up.data_dir / "token").stat().st_mtime_ns) == (token, written)
    processes = everything_of(again)
    again.process.kill()
    again.process.wait()
    until(lambda: not any(map(is_alive, processes)))
    with open_home(up.data_dir):
        pass  # removes the sockets that the kill left


def test_a_second_one_on_the_same_directory_is_refused(lasting_up: Up) -> None:
    """The message names the holder, and the first one keeps running."""
    command = [*COMMAND, "up", "--bind", "127.0.0.1:0", "--data-dir", str(lasting_up.data_dir)]
    second = subprocess.run(command, check=False, capture_output=True, text=True, env=environment())
    assert second.returncode == 1
    assert f"in use by process {lasting_up.process.pid}" in second.stderr
    assert "Traceback" not in second.stderr
    assert_serves(lasting_up)


def test_ctrl_c_stops_it_within_its_time_though_an_upload_hangs(up: Up) -> None:
    """A publisher that stopped sending does not delay the stop."""
    host, _, port = up.url.removeprefix("http://").partition(":")
    request = (
        f"POST /v1/packages/publish HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {up.token}\r\n"
        f"content-type: application/octet-stream\r\ncontent-length: {4 * BUFFER_BYTES}\r\n\r\n"
    )
    processes = everything_of(up)
    with socket.create_connection((host, int(port))) as client:
        client.sendall(request.encode() + bytes(2 * BUFFER_BYTES))
        until(lambda: any((up.data_dir / "tmp").glob("*")))  # the folder may not exist yet
        began = time.monotonic()
        assert up.stop(signal.SIGINT) == 0
        assert time.monotonic() - began < STOP_LIMIT_S
    assert not any(map(is_alive, processes))
