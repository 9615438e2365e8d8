"""`x07-registry up`: a whole registry on one address and one data directory."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from socket import socket
from typing import Any, Protocol

from pydantic import SecretStr

from deploy.errors import StartFailed
from deploy.listener import address_of, is_unix, open_listener, reachable_address_of
from deploy.local.description import describe
from deploy.local.home import Home, open_home
from deploy.local.log_key import ensure_log_key
from deploy.local.own_services import HttpService, WorkerService, variables_to
from deploy.local.postgres import EmbeddedPostgres
from deploy.local.service import Service
from deploy.local.signing_key import ensure_signing_key
from deploy.local.supervisor import keep_running
from deploy.local.valkey import EmbeddedValkey
from deploy.tree import require_one_tree
from shared.names import Handle
from shared.settings import Settings

TOKEN_NAME = "token"  # noqa: S105 - a file's name
SIGNING_KEY_NAME = "signing-key"
LOG_KEY_NAME = "log-key"
NO_URL = "a Unix socket has no URL: name that of the proxy before it in X07_REGISTRY_PUBLIC_BASE"
DATABASE_DEADLINE_S = 20.0
DATABASE_PAUSE_S = 0.2


@dataclass(frozen=True, slots=True)
class Running:
    """The facts about a started registry that a person needs.

    address: where it listens. url: for this machine. public_base: where config.json sends clients. is_open:
    other machines may reach the registry, but its public URL is not configured.
    """

    address: str
    url: str
    public_base: str
    is_open: bool
    data_dir: Path
    token_path: Path


class Progress(Protocol):
    """Receives the progress of the start."""

    def step(self, text: str) -> None:
        """Note the step that begins now."""

    def running(self, running: Running) -> None:
        """Note that everything runs."""


async def run_registry(settings: Settings, progress: Progress, admin: Handle | None = None) -> None:
    """Run everything until cancelled, then stop everything.

    admin: handle of the first admin, if the registry has none yet.
    Raises StartFailed, RegistryError (of the database), OSError.
    """
    with open_home(settings.data_dir) as home, open_listener(settings.bind) as listener:
        require_one_tree(settings)
        running = _running(settings, home, listener)
        servers, addresses = _local_servers(settings, home)
        settings = _completed(settings.model_copy(update=addresses), running)
        describe(home.data_dir, variables_to(settings))
        progress.step(
            f"starting {', '.join(server.name for server in servers) or 'without servers of its own'}"
        )
        async with keep_running(*servers):
            progress.step("preparing the database")
            await _prepare_database(settings, running.token_path, admin)
            await _write_first_files(settings)
            progress.step("starting the HTTP process and the worker")
            async with keep_running(HttpService(settings, listener), WorkerService(settings)):
                progress.running(running)
                await asyncio.Event().wait()


def _running(settings: Settings, home: Home, listener: socket) -> Running:
    """The facts about the registry that will listen there. Raises StartFailed if it would have no URL."""
    address, reachable = address_of(listener), reachable_address_of(listener)
    is_told = "public_base" in settings.model_fields_set
    if is_unix(listener) and not is_told:
        raise StartFailed(NO_URL)
    url = settings.public_base if is_unix(listener) else f"http://{reachable}"
    return Running(
        address=address if is_unix(listener) else url,
        url=url,
        public_base=settings.public_base if is_told else url,
        is_open=not is_told and address != reachable,
        data_dir=home.data_dir,
        token_path=home.data_dir / TOKEN_NAME,
    )


def _completed(settings: Settings, running: Running) -> Settings:
    """The settings with what `up` chooses: its directory, its address, and keys where none is configured."""
    chosen: dict[str, Any] = {"data_dir": running.data_dir, "public_base": running.public_base}
    if "pkg_signing_ed25519_secret_b64" not in settings.model_fields_set:
        chosen |= ensure_signing_key(running.data_dir / SIGNING_KEY_NAME)
    if "log_key_b64" not in settings.model_fields_set:
        origin = settings.log_origin or running.public_base.partition("://")[2]
        chosen |= ensure_log_key(running.data_dir / LOG_KEY_NAME, origin)
    return settings.model_copy(update=chosen)


def _local_servers(settings: Settings, home: Home) -> tuple[list[Service], dict[str, Any]]:
    """The embedded servers for those that the settings do not name, and the settings that lead to them."""
    servers: list[Service] = []
    chosen: dict[str, Any] = {}
    if "database_url" not in settings.model_fields_set:
        # Enough for two processes with a full pool each, and for an operator.
        postgres = EmbeddedPostgres(home, max_connections=2 * settings.database_pool_size + 20)
        servers.append(postgres)
        chosen["database_url"] = SecretStr(postgres.url)
    if "redis_url" not in settings.model_fields_set:
        valkey = EmbeddedValkey(home)
        servers.append(valkey)
        chosen["redis_url"] = SecretStr(valkey.url)
    return servers, chosen


async def _write_first_files(settings: Settings) -> None:
    from deploy.local.first_files import ensure_first_files

    await ensure_first_files(settings)


async def _prepare_database(settings: Settings, token_path: Path, admin: Handle | None) -> None:
    """Migrate and create the first admin, as soon as the database answers. Raises RegistryError."""
    from deploy.bootstrap import ensure_admin
    from deploy.migrations.runner import migrate
    from shared.errors import DatabaseUnavailable

    deadline = time.monotonic() + DATABASE_DEADLINE_S
    while True:
        try:
            await migrate(settings)
            await ensure_admin(settings, token_path, admin)
            return
        except DatabaseUnavailable:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(DATABASE_PAUSE_S)
