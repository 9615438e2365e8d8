"""`x07-registry up`: a whole registry on one address and one data directory."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import SecretStr

from deploy.listener import open_listener, reachable_address_of
from deploy.local.home import Home, open_home
from deploy.local.parts import HttpPart, WorkerPart
from deploy.local.postgres import EmbeddedPostgres
from deploy.local.service import Service
from deploy.local.signing_key import ensure_signing_key
from deploy.local.supervisor import keep_running
from deploy.local.valkey import EmbeddedValkey
from shared.settings import Settings

TOKEN_NAME = "token"  # noqa: S105 - a file's name
SIGNING_KEY_NAME = "signing-key"
DATABASE_DEADLINE_S = 20.0
DATABASE_PAUSE_S = 0.2


@dataclass(frozen=True, slots=True)
class Running:
    """What a person needs to know of a registry that has started. url: where this machine reaches it."""

    url: str
    data_dir: Path
    token_path: Path


class Progress(Protocol):
    """Hears how the start goes."""

    def step(self, text: str) -> None:
        """This is being done now."""

    def running(self, running: Running) -> None:
        """All is up."""


async def run_registry(settings: Settings, progress: Progress) -> None:
    """Run everything until cancelled; then nothing is left running.

    Raises StartFailed, RegistryError (of the database), OSError.
    """
    with open_home(settings.data_dir) as home, open_listener(settings.bind) as listener:
        running = Running(
            f"http://{reachable_address_of(listener)}", home.data_dir, home.data_dir / TOKEN_NAME
        )
        servers, chosen = _local_servers(settings, home)
        if "pkg_signing_ed25519_secret_b64" not in settings.model_fields_set:
            chosen.update(ensure_signing_key(home.data_dir / SIGNING_KEY_NAME))
        if "public_base" not in settings.model_fields_set:
            chosen["public_base"] = running.url
        settings = settings.model_copy(update={"data_dir": home.data_dir, **chosen})
        progress.step(
            f"starting {', '.join(server.name for server in servers) or 'without servers of its own'}"
        )
        async with keep_running(*servers):
            progress.step("preparing the database")
            await _prepare_database(settings, running.token_path)
            await _write_first_files(settings)
            progress.step("starting the HTTP process and the worker")
            async with keep_running(HttpPart(settings, listener), WorkerPart(settings)):
                progress.running(running)
                await asyncio.Event().wait()


def _local_servers(settings: Settings, home: Home) -> tuple[list[Service], dict[str, Any]]:
    """The embedded servers that stand in for those that nobody named, and the settings that lead to them."""
    servers: list[Service] = []
    chosen: dict[str, Any] = {}
    if "database_url" not in settings.model_fields_set:
        # For two processes with a full pool each, and a person who looks in.
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


async def _prepare_database(settings: Settings, token_path: Path) -> None:
    """Migrate and make the first admin, as soon as the database answers. Raises RegistryError."""
    from deploy.bootstrap import ensure_admin
    from deploy.migrations.runner import migrate
    from shared.errors import DatabaseUnavailable

    deadline = time.monotonic() + DATABASE_DEADLINE_S
    while True:
        try:
            await migrate(settings)
            await ensure_admin(settings, token_path)
            return
        except DatabaseUnavailable:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(DATABASE_PAUSE_S)
