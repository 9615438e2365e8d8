"""Servers of one published tree, each on one core: ours, nginx, and others for comparison."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.blobs import CONFIG_KEY, archive_key, content_type_of, index_key
from shared.names import parse_name
from shared.settings import PREFIX, Settings
from shared.storage.opening import open_storage
from shared.versions import parse_version
from tests.bench.load import SERVER_CORE, on_core
from tests.bench.measure import Client
from tests.bench.peers import HOME, NotInstalled, answering, free_port, install, start, stop
from tests.deploy.processes import COMMAND, environment

INDEX_BYTES, ARCHIVE_BYTES = 1700, 24 * 1024
LONG_TTL_S = 3600
PROBE = "/index/config.json"
ROOT = Path(__file__).parents[2]

NGINX = """
daemon off;
worker_processes 1;
user {user};
pid {home}/nginx.pid;
error_log {home}/error.log;
events {{ worker_connections 16384; }}
http {{
  access_log off;
  server_tokens off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000000;
  client_body_temp_path {home}/body;
  proxy_temp_path {home}/proxy;
  fastcgi_temp_path {home}/fastcgi;
  uwsgi_temp_path {home}/uwsgi;
  scgi_temp_path {home}/scgi;
  {http}
  server {{
    listen 127.0.0.1:{port} backlog=2048;
    {server}
  }}
}}
"""
NGINX_FILES = """
    add_header cache-control "public, max-age=300";
    add_header vary accept-encoding;
    add_header x-request-id $request_id;
    max_ranges 0;
    types {{ }}
    location /index/ {{ root {tree}; default_type application/x-ndjson; }}
    location /v1/packages/ {{ alias {tree}/dl/; default_type application/octet-stream; }}
"""
OPEN_FILES = "open_file_cache max=20000 inactive=10m; open_file_cache_valid 5m;"
NGINX_CACHE = """
    location / {{
      proxy_pass http://{upstream};
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_cache tree;
      proxy_cache_lock on;
      proxy_cache_revalidate on;
    }}
"""


@dataclass(frozen=True, slots=True)
class Side:
    """A running server of the tree."""

    name: str
    process: subprocess.Popen[bytes]
    address: str


def names(count: int) -> list[str]:
    """Names of packages."""
    return [f"bench-{number:05d}" for number in range(count)]


def index_path(name: str) -> str:
    """The target of an index file."""
    return f"/{index_key(parse_name(name))}"


def archive_path(name: str) -> str:
    """The target of a package's only archive."""
    return f"/v1/packages/{name}/0.1.0/download"


async def fill(settings: Settings, count: int, *, with_archives: int = 1) -> None:
    """Put count index files of 1.7 KB, and archives of 24 KB for the first of them."""
    storage = await open_storage(settings)
    places = asyncio.Semaphore(64)

    async def put(key: str, body: bytes) -> None:
        async with places:
            digest = hashlib.sha256(body).hexdigest()
            await storage.put(key, body, content_type=content_type_of(key), digest=digest)

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(put(CONFIG_KEY, b"{}"))
            for number, name in enumerate(names(count)):
                group.create_task(put(index_key(parse_name(name)), _index_file(name)))
                if number < with_archives:
                    key = archive_key(parse_name(name), parse_version("0.1.0"))
                    group.create_task(put(key, os.urandom(ARCHIVE_BYTES)))
    finally:
        await storage.close()


def _index_file(name: str) -> bytes:
    line = f'{{"schema_version":"x07.index-entry@0.1.0","name":"{name}","version":"0.1.'
    filling = hashlib.sha256(name.encode()).hexdigest() * 40
    return (line + filling)[: INDEX_BYTES - 3].encode() + b'"}\n'


def variables(settings: Settings, **others: str) -> dict[str, str]:
    """The environment of a read process over this tree, without messages and with a trusted cache."""
    ours = {
        "PYTHONPATH": str(ROOT),
        f"{PREFIX}STORAGE": settings.storage,
        f"{PREFIX}DATA_DIR": str(settings.data_dir),
        f"{PREFIX}READ_TTL_SECONDS": str(LONG_TTL_S),
        f"{PREFIX}REDIS_URL": "unix:///nonexistent.sock",
        f"{PREFIX}S3_PREFIX": settings.s3_prefix,
        f"{PREFIX}S3_FORCE_PATH_STYLE": "true",
        f"{PREFIX}S3_BUCKET": settings.s3_bucket or "",
        f"{PREFIX}S3_REGION": settings.s3_region or "",
        f"{PREFIX}S3_ENDPOINT": settings.s3_endpoint or "",
        f"{PREFIX}S3_ACCESS_KEY_ID": settings.s3_access_key_id or "",
    }
    if settings.s3_secret_access_key is not None:
        ours[f"{PREFIX}S3_SECRET_ACCESS_KEY"] = settings.s3_secret_access_key.get_secret_value()
    return environment(**{**ours, **others})


@contextmanager
def running(
    name: str,
    command: list[Any],
    port: int,
    directory: Path,
    env: Mapping[str, str] | None = None,
    probe: str = PROBE,
    core: int | None = SERVER_CORE,
) -> Iterator[Side]:
    """Start a server on its core and wait until it answers. Raises RuntimeError."""
    if core is None:
        process = start(command, directory / f"{port}.log", env)
    else:
        with on_core(core):
            process = start(command, directory / f"{port}.log", env)
    try:
        answering(f"127.0.0.1:{port}", probe, process).close()
        yield Side(name, process, f"127.0.0.1:{port}")
    finally:
        stop(process)


@contextmanager
def ours(
    settings: Settings, directory: Path, *arguments: str, core: int | None = SERVER_CORE, **others: str
) -> Iterator[Side]:
    """`x07-registry serve read`, as deployed."""
    port = free_port()
    command = [*COMMAND, "serve", "read", "--bind", f"127.0.0.1:{port}", *arguments]
    env = variables(settings, **others)
    with running("x07-registry serve read", command, port, directory, env, core=core) as side:
        yield side


@contextmanager
def application(name: str, about: str, settings: Settings, directory: Path) -> Iterator[Side]:
    """One of the applications of read_apps.py."""
    port = free_port()
    command = [sys.executable, "-m", "tests.bench.read_apps", name, port]
    with running(about, [str(word) for word in command], port, directory, variables(settings)) as side:
        yield side


@contextmanager
def nginx(settings: Settings, directory: Path, *, opens_once: bool = True) -> Iterator[Side]:
    """nginx on the files themselves. opens_once: with open_file_cache."""
    files = NGINX_FILES.format(tree=settings.data_dir.resolve())
    with _nginx("nginx, static files", directory, OPEN_FILES if opens_once else "", files) as side:
        yield side


@contextmanager
def nginx_cache(upstream: Side, directory: Path) -> Iterator[Side]:
    """nginx in front of our server, with a warm proxy_cache."""
    http = f"proxy_cache_path {directory}/cache-{free_port()} keys_zone=tree:16m; {OPEN_FILES}"
    server = NGINX_CACHE.format(upstream=upstream.address)
    with _nginx("nginx, proxy_cache over ours", directory, http, server) as side:
        yield side


@contextmanager
def _nginx(name: str, directory: Path, http: str, server: str) -> Iterator[Side]:
    """Raises NotInstalled."""
    if (program := shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")) is None:
        raise NotInstalled("there is no nginx on the PATH (apt-get install nginx)")
    port = free_port()
    home = directory / f"nginx-{port}"
    home.mkdir()
    user = "root" if os.getuid() == 0 else "nobody"
    (home / "nginx.conf").write_text(NGINX.format(user=user, home=home, port=port, http=http, server=server))
    command: list[Any] = [program, "-c", home / "nginx.conf", "-e", home / "error.log"]
    with running(name, command, port, directory) as side:
        yield side


@contextmanager
def granian(settings: Settings, directory: Path) -> Iterator[Side]:
    """Our application without the fast path, under granian. Raises NotInstalled."""
    packages = HOME / "granian"
    if not (packages / "granian").exists():
        install([sys.executable, "-m", "pip", "install", "--quiet", "--target", packages, "granian"])
    port = free_port()
    options = ["--interface", "asgi", "--factory", "--workers", "1", "--no-ws", "--log-level", "error"]
    command = [
        sys.executable,
        "-m",
        "granian",
        *options,
        "--port",
        str(port),
        "tests.bench.read_apps:granian_app",
    ]
    env = {**variables(settings), "PYTHONPATH": f"{packages}{os.pathsep}{ROOT}"}
    with running("ours without the fast path, under granian", command, port, directory, env) as side:
        yield side


def etag_at(side: Side, path: str) -> str:
    """The ETag of a path, after checking the answer. Raises RuntimeError."""
    client = Client(side.address)
    header, body = client.require("GET", path, None, {"accept-encoding": "gzip"})
    client.close()
    if header("content-encoding") == "gzip":
        body = gzip.decompress(body)
    if len(body) not in (INDEX_BYTES, ARCHIVE_BYTES):
        raise RuntimeError(f"{side.name} answers {path} with {len(body)} bytes")
    return header("etag") or ""
