"""The secrets that each role gets in each kind of deployment; readers need only a read-only key."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from nacl.signing import SigningKey

from api.read.fast_path import FastProtocol
from deploy.asgi import build_read_app, build_write_app
from indexer.config import render_config
from shared.blobs import CATALOG_KEY, CONFIG_KEY, JSON_TYPE
from shared.errors import RegistryError
from shared.http.guarded_protocol import GuardedProtocol
from shared.settings import Settings, SettingsError
from shared.storage.opening import open_storage
from tests.archives import hello_archive
from tests.deploy.test_cli import run
from tests.deploy.test_deployment_files import DEPLOY, compose, of_kind
from tests.seaweedfs import ACCESS_KEY, BUCKET, SECRET_KEY, SeaweedFs
from tests.stack import running_registry, serving

PUBLISH = "/v1/packages/publish"
SEED = bytes(range(32))
PREFIX = "X07_REGISTRY_"
STORAGE = {"S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY"}
SIGN_IN = {"GITHUB_CLIENT_ID", "GITHUB_CLIENT_SECRET"}
SIGNING = "PKG_SIGNING_ED25519_SECRET_B64"
SECRETS = {
    "read": STORAGE,
    "write": STORAGE | SIGN_IN | {"DATABASE_URL", SIGNING},
    "worker": STORAGE | {"DATABASE_URL", "LOG_KEY_B64"},
    "migrate": {"DATABASE_URL"},
}
ALL = set.union(*SECRETS.values())


def kubernetes(role: str) -> dict[str, str]:
    """The sources of a pod's secrets, by variable."""
    (pod,) = [one for name, one in of_kind("Deployment", "Job").items() if name == role]
    (container,) = pod["spec"]["template"]["spec"]["containers"]
    assert container["envFrom"] == [{"configMapRef": {"name": "x07-registry"}}]
    assert not ALL & {name.removeprefix(PREFIX) for name in of_kind("ConfigMap")["x07-registry"]["data"]}
    return {one["name"]: one["valueFrom"]["secretKeyRef"]["name"] for one in container["env"]}


def composed(role: str) -> dict[str, str]:
    """The same for a service of the compose file."""
    given = compose()["services"][role]["environment"]
    return {name: value for name, value in given.items() if name.removeprefix(PREFIX) in ALL}


def systemd(role: str) -> dict[str, str]:
    """The same for a systemd unit. README.md describes its files."""
    (unit,) = DEPLOY.glob(f"systemd/x07-registry-{role}*.service")
    files = re.findall(r"^EnvironmentFile=-?/etc/x07-registry/(\S+)$", unit.read_text(), re.MULTILINE)
    return {name: file for file in files for name in _told_of(file, role)}


def _told_of(file: str, role: str) -> Iterator[str]:
    lines = (DEPLOY / "systemd" / "README.md").read_text().splitlines()
    rows = [line.split("|") for line in lines if line.startswith("| `")]
    ((_, _, variables, roles, _),) = [row for row in rows if f"`{file}`" in row[1]]
    assert role in roles or roles.strip() == "all"
    if "the same" in variables:
        yield from (PREFIX + name for name in STORAGE)
    yield from (PREFIX + name for name in re.findall(r"`([A-Z0-9_]+)`", variables) if name in ALL)


WAYS: dict[str, Callable[[str], dict[str, str]]] = {
    "Kubernetes": kubernetes,
    "compose": composed,
    "systemd": systemd,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("role", SECRETS)
def test_each_role_is_given_the_secrets_that_it_needs_and_no_others(way: str, role: str) -> None:
    """Readers cannot reach the database, workers have no client secret, writers lack the log's key."""
    assert set(WAYS[way](role)) == {PREFIX + name for name in SECRETS[role]}


@pytest.mark.parametrize("way", WAYS)
def test_each_role_has_a_key_to_storage_of_its_own(way: str) -> None:
    """With a shared key, a reader could change what others read, and a writer what is published."""
    for name in STORAGE:
        assert len({WAYS[way](role)[PREFIX + name] for role in ("read", "write", "worker")}) == 3


def test_readers_are_users_of_their_own_under_systemd() -> None:
    """A process can read the environment of every process of the same user."""
    users = {
        role: re.findall(r"^User=(\S+)$", unit.read_text(), re.MULTILINE)
        for role in SECRETS
        for unit in DEPLOY.glob(f"systemd/x07-registry-{role}*.service")
    }
    assert users["read"] not in [users[role] for role in users if role != "read"]
    assert "StateDirectory" not in (DEPLOY / "systemd" / "x07-registry-read.service").read_text()


def test_a_migration_asks_for_no_key_to_storage() -> None:
    """It fails only at the database, which does not exist."""
    database = {f"{PREFIX}DATABASE_URL": "postgres://x07@127.0.0.1:1/x07", f"{PREFIX}STORAGE": "s3"}
    ended = run("migrate", **database)
    assert "S3" not in ended.stdout + ended.stderr
    assert "database" in ended.stderr


def test_a_worker_without_the_secret_tells_readers_the_signing_key() -> None:
    """config.json equals that of a process with the secret."""
    secret = {SIGNING.lower(): b64encode(SEED).decode(), "pkg_signing_key_id": "k"}
    public = b64encode(bytes(SigningKey(SEED).verify_key)).decode()
    with_secret = render_config(Settings(**secret))
    assert public.encode() in with_secret
    assert render_config(Settings(pkg_signing_public_key_b64=public, pkg_signing_key_id="k")) == with_secret
    assert render_config(Settings(pkg_signing_public_key_b64=public, **secret)) == with_secret


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"pkg_signing_public_key_b64": "x"}, "PKG_SIGNING_PUBLIC_KEY_B64 is not allowed: a key is"),
        ({SIGNING.lower(): b64encode(bytes(32)).decode()}, "is not the public key of the secret"),
        ({"pkg_signing_key_id": None}, "PKG_SIGNING_KEY_ID is not set"),
    ],
)
def test_a_public_key_that_is_none_or_anothers_stops_the_start(other: dict[str, Any], said: str) -> None:
    """Otherwise readers would refuse every version that is signed from then on."""
    public = b64encode(bytes(SigningKey(SEED).verify_key)).decode()
    with pytest.raises(SettingsError, match=said):
        Settings(**{"pkg_signing_public_key_b64": public, "pkg_signing_key_id": "k", **other})


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SeaweedFs]:
    """A bucket with the keys of the compose file."""
    (tmp_path / "keys.json").write_text(_keys_of_compose())
    server = SeaweedFs(tmp_path, tmp_path / "keys.json")
    server.start()
    yield server
    server.stop()


async def test_the_keys_of_the_compose_file_are_enough_for_each_role_and_for_no_more(
    new_database: Callable[[], Awaitable[str]], valkey: Any, server: SeaweedFs, tmp_path: Path
) -> None:
    """A version is published and read; write servers write only below staging/, readers nowhere."""
    database = {"database_url": await new_database(), "redis_url": valkey.url}
    common = {"redis_namespace": tmp_path.name, "storage": "s3", **database, **server.settings}
    workers, writers, readers = (Settings(**common | _key(role)) for role in ("worker", "write", "read"))
    async with (
        running_registry(workers) as registry,
        serving(build_write_app(writers), GuardedProtocol) as url,
        httpx.AsyncClient(base_url=url, timeout=60) as http,
    ):
        headers = await registry.add_publisher()
        answer = await http.post(PUBLISH, content=hello_archive(), headers=headers)
        assert answer.headers["x-x07-index-published"] == "true"
        assert (await http.get("/readyz")).status_code == 200
        await _require_reading(readers)
    await _require_no_writing(writers)
    await _require_no_writing(readers)


async def _require_reading(settings: Settings) -> None:
    async with (
        serving(build_read_app(settings), FastProtocol) as url,
        httpx.AsyncClient(base_url=url) as http,
    ):
        for path in ("/readyz", "/index/he/ll/hello", "/v1/packages/hello/0.1.0/download"):
            assert (await http.get(path)).status_code == 200, path


async def _require_no_writing(settings: Settings) -> None:
    storage = await open_storage(settings)
    try:
        with pytest.raises(RegistryError):
            await storage.put(CONFIG_KEY, b"{}", content_type=JSON_TYPE, digest="0" * 64)
        with pytest.raises(RegistryError):
            await storage.copy(CATALOG_KEY, CONFIG_KEY)
        with pytest.raises(RegistryError):
            await storage.delete(CONFIG_KEY)
    finally:
        await storage.close()


def _key(role: str) -> dict[str, str]:
    if role == "worker":  # whose key the test itself uses
        return {}
    return {"s3_access_key_id": f"key-of-{role}", "s3_secret_access_key": f"secret-of-{role}"}


def _keys_of_compose() -> str:
    """The keys of the compose file with our values, for our bucket."""
    keys = [("WORKER", ACCESS_KEY, SECRET_KEY), *((r.upper(), *_key(r).values()) for r in ("read", "write"))]
    content = compose()["configs"]["s3-keys"]["content"].replace(":x07-registry", f":{BUCKET}")
    for role, access, secret in keys:
        content = re.sub(rf"\$\{{S3_{role}_ACCESS_KEY:[^}}]+\}}", access, content)
        content = re.sub(rf"\$\{{S3_{role}_SECRET_KEY:[^}}]+\}}", secret, content)
    assert "$" not in content
    return content
