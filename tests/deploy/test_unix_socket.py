"""Servers that listen on a Unix socket, behind a proxy on the same machine."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from deploy.cli.progress import PrintedProgress
from deploy.errors import StartFailed
from deploy.listener import address_of, open_listener
from deploy.local.own_services import HttpService
from deploy.local.up import Running, run_registry
from shared.settings import Settings
from tests.conftest import MakeSettings
from tests.deploy.processes import COMMAND, DEADLINE_S, descendants, environment


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=DEADLINE_S)
        self._path = path

    def connect(self) -> None:
        """Connect."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def health(path: Path) -> bytes:
    """The answer to GET /healthz."""
    connection = UnixConnection(path)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().read()
    finally:
        connection.close()


def test_a_socket_that_nobody_listens_on_is_replaced(short_path: Path) -> None:
    """A server that was killed leaves its file behind. Any proxy may connect that can enter the folder."""
    bind = f"unix:{short_path}"
    for _ in range(2):
        with open_listener(bind) as listener:
            assert address_of(listener) == bind
            with pytest.raises(StartFailed, match="in use"):
                open_listener(bind)
        assert short_path.stat().st_mode & 0o777 == 0o666
    short_path.unlink()
    short_path.write_text("mine")
    with pytest.raises(StartFailed, match="exists"):
        open_listener(bind)
    assert short_path.read_text() == "mine"


def test_several_read_processes_share_a_socket(short_path: Path, tmp_path: Path) -> None:
    """They answer, also after one of them was killed."""
    command = [*COMMAND, "serve", "read", "--workers", "2", "--bind", f"unix:{short_path}"]
    variables = environment(X07_REGISTRY_DATA_DIR=str(tmp_path))
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=variables
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().split() == ["listening", f"unix:{short_path}"]
            pids = descendants(process.pid)
            assert len(pids) == 2
            assert health(short_path) == b"ok"
            os.kill(min(pids), signal.SIGKILL)
            assert health(short_path) == b"ok"
        finally:
            process.terminate()
            assert process.wait(DEADLINE_S) == 0


async def test_up_answers_on_a_socket(
    short_path: Path, make_default_settings: MakeSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    """It needs to be told the URL of the proxy, which clients use, and says what it listens on itself."""
    settings = await make_default_settings(bind=f"unix:{short_path}")
    with open_listener(settings.bind) as listener:
        async with HttpService(settings, listener):
            assert health(short_path) == b"ok"
    own = Settings(bind=settings.bind, data_dir=settings.data_dir / "up")
    with pytest.raises(StartFailed, match="X07_REGISTRY_PUBLIC_BASE"):
        await run_registry(own, PrintedProgress())
    facts = Running(own.bind, "https://x07.example", "https://x07.example", False, short_path, short_path)
    PrintedProgress().running(facts)
    assert f"listens on {own.bind}  " in capsys.readouterr().out
