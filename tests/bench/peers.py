"""Other registries for comparison: devpi-server and verdaccio, installed and run as documented."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import gettempdir
from typing import Protocol

from tests.bench.measure import Client, json_body

HOME = Path(gettempdir()) / "bench-peers"
START_S = 60.0
INSTALL_S = 300.0
# Its dependency names a tag that not every registry has; this is the same code by its number.
VERDACCIO_PACKAGE = {
    "private": True,
    "overrides": {"node-fetch": "2.7.0", "node-fetch-cjs": "npm:node-fetch@2.7.0"},
}
# With its default token it checks the password by bcrypt at each request; with a signed one it does not.
VERDACCIO_CONFIG = """
security:
  api:
    legacy: false
    jwt:
      sign: {expiresIn: 1d}
storage: ./storage
auth:
  htpasswd:
    file: ./htpasswd
packages:
  '**':
    access: $all
    publish: $authenticated
log: {type: stdout, format: json, level: fatal}
"""


class NotInstalled(Exception):
    """This machine could not install a peer. The message says why."""


class Peer(Protocol):
    """A running peer. name: with its version. process: its first process.

    writes_through: the kernel writes each of its writes to disk before the call returns.
    """

    name: str
    writes_through: bool
    process: subprocess.Popen[bytes]
    address: str

    def prepare(self, name: str, archive: bytes) -> tuple[str, str, bytes, dict[str, str]]:
        """The call that publishes version 0.1.0 of a package: method, path, body, headers."""

    def page(self, name: str) -> str:
        """The address where clients read one package."""


class Devpi:
    """devpi-server on sqlite, its default, with one user and one index."""

    writes_through = False

    def __init__(self, program: Path, directory: Path) -> None:
        """program: folder of its programs. directory: empty."""
        version = _output(program / "devpi-server", "--version")
        self.name = f"devpi-server {version}"
        serverdir = directory / "devpi"
        _output(program / "devpi-init", "--serverdir", serverdir, "--no-root-pypi")
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        command = [program / "devpi-server", "--serverdir", serverdir, "--port", str(port)]
        self.process = start([*command, "--host", "127.0.0.1"], directory / "devpi.log")
        client = answering(self.address, "/+api", self.process)
        client.require("PUT", "/bench", json_body({"password": "bench"}), JSON)
        _, answer = client.require("POST", "/+login", json_body({"user": "bench", "password": "bench"}), JSON)
        token = json.loads(answer)["result"]["password"]
        self._auth = {"X-Devpi-Auth": base64.b64encode(f"bench:{token}".encode()).decode()}
        client.require("PUT", "/bench/dev", json_body({"type": "stage", "bases": []}), {**JSON, **self._auth})
        client.close()

    def prepare(self, name: str, archive: bytes) -> tuple[str, str, bytes, dict[str, str]]:
        """An upload in twine's form."""
        fields = {
            ":action": "file_upload",
            "protocol_version": "1",
            "metadata_version": "2.1",
            "name": name,
            "version": "0.1.0",
            "filetype": "sdist",
            "pyversion": "source",
            "summary": "Says hello.",
            "sha256_digest": hashlib.sha256(archive).hexdigest(),
        }
        body = b"".join(_part(f'name="{key}"', value.encode()) for key, value in fields.items())
        body += _part(f'name="content"; filename="{name}-0.1.0.tar.gz"', archive) + b"--bench--\r\n"
        headers = {"content-type": "multipart/form-data; boundary=bench", **self._auth}
        return "POST", "/bench/dev/", body, headers

    def page(self, name: str) -> str:
        """Its simple page."""
        return f"/bench/dev/+simple/{name}/"


class Verdaccio:
    """verdaccio on its local storage, without an uplink, with one user."""

    def __init__(self, program: Path, directory: Path, *, writes_through: bool) -> None:
        """program: folder of its programs. directory: empty. Raises RuntimeError."""
        version = _output(program / "verdaccio", "--version")
        self.name = f"verdaccio {version.removeprefix('v')}"
        self.writes_through = writes_through
        home = directory / "verdaccio"
        home.mkdir()
        if writes_through:
            self.name += ", synced by the kernel"
            _output("chattr", "+S", home)  # inherited by everything below
        config = home / "config.yaml"
        config.write_text(VERDACCIO_CONFIG)
        self.address = f"127.0.0.1:{free_port()}"
        command = [program / "verdaccio", "--config", config, "--listen", self.address]
        self.process = start(command, directory / "verdaccio.log")
        client = answering(self.address, "/-/ping", self.process)
        user = {"name": "bench", "password": "bench-1234", "email": "", "type": "user", "roles": []}
        _, answer = client.require("PUT", "/-/user/org.couchdb.user:bench", json_body(user), JSON)
        self._auth = {"authorization": f"Bearer {json.loads(answer)['token']}"}
        client.close()

    def prepare(self, name: str, archive: bytes) -> tuple[str, str, bytes, dict[str, str]]:
        """A package document in the form of npm publish."""
        file = f"{name}-0.1.0.tgz"
        dist = {
            "shasum": hashlib.sha1(archive).hexdigest(),  # noqa: S324 - npm's format
            "integrity": "sha512-" + base64.b64encode(hashlib.sha512(archive).digest()).decode(),
            "tarball": f"http://{self.address}/{name}/-/{file}",
        }
        release = {"name": name, "version": "0.1.0", "description": "Says hello.", "dist": dist}
        data = base64.b64encode(archive).decode()
        attachment = {
            "content_type": "application/octet-stream",
            "data": data,
            "length": len(archive),
        }
        document = {
            "_id": name,
            "name": name,
            "dist-tags": {"latest": "0.1.0"},
            "versions": {"0.1.0": {**release, "_id": f"{name}@0.1.0"}},
            "_attachments": {file: attachment},
        }
        return "PUT", f"/{name}", json_body(document), {**JSON, **self._auth}

    def page(self, name: str) -> str:
        """Its document."""
        return f"/{name}"


JSON = {"content-type": "application/json", "accept": "application/json"}


@contextmanager
def running_devpi(directory: Path) -> Iterator[Devpi]:
    """Install it if need be and run it. Raises NotInstalled."""
    environment = HOME / "devpi"
    if not (environment / "bin/devpi-server").exists():
        install([sys.executable, "-m", "venv", environment])
        install([environment / "bin/pip", "install", "--quiet", "devpi-server"])
    peer = Devpi(environment / "bin", directory)
    try:
        yield peer
    finally:
        stop(peer.process)


@contextmanager
def running_verdaccio(directory: Path, *, writes_through: bool = False) -> Iterator[Verdaccio]:
    """Install it if need be and run it. Raises NotInstalled, RuntimeError.

    writes_through: use a folder whose files the kernel writes synchronously, because verdaccio never syncs.
    """
    if shutil.which("npm") is None:
        raise NotInstalled("there is no npm on the PATH")
    folder = HOME / "verdaccio"
    if not (folder / "node_modules/.bin/verdaccio").exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text(json.dumps(VERDACCIO_PACKAGE))
        install(["npm", "install", "--prefix", folder, "--no-fund", "--no-audit", "verdaccio"])
    peer = Verdaccio(folder / "node_modules/.bin", directory, writes_through=writes_through)
    try:
        yield peer
    finally:
        stop(peer.process)


def install(command: list[str | Path]) -> None:
    """Run an installer. Raises NotInstalled."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=INSTALL_S)
    except subprocess.TimeoutExpired:
        raise NotInstalled(f"{command[0]} took more than {INSTALL_S:.0f} s") from None
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise NotInstalled(f"{command[0]} ended with {done.returncode}: {' / '.join(words)}")


def _output(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=INSTALL_S)
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr[-500:]}")
    return done.stdout.strip()


def _part(disposition: str, value: bytes) -> bytes:
    return (
        b"--bench\r\ncontent-disposition: form-data; " + disposition.encode() + b"\r\n\r\n" + value + b"\r\n"
    )


def free_port() -> int:
    """A port on which nobody listens at present."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def start(
    command: list[str | Path], log: Path, env: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a server with its output in a file. env: None for ours."""
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            cwd=log.parent,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(os.environ if env is None else env),
        )


def answering(address: str, path: str, process: subprocess.Popen[bytes]) -> Client:
    """A connection to a server, once it answers. Raises RuntimeError if it ends or never answers.

    In that case it is stopped.
    """
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        client = Client(address)
        try:
            client.require("GET", path)
        except (OSError, RuntimeError):
            client.close()
            time.sleep(0.2)
        else:
            return client
    status = process.poll()
    stop(process)
    raise RuntimeError(f"the server on {address} does not answer (exit status {status})")


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a server that we started."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
