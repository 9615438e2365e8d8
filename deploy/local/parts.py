"""The registry's own processes, as `up` runs them: the HTTP process and the worker."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys

from deploy.app_kind import AppKind
from deploy.listener import nth_bind, reachable_address_of
from deploy.local.child import ChildProcess
from deploy.local.service import Service
from shared.settings import PREFIX, Settings

# -P: what lies in the working directory must not be imported instead of us.
COMMAND = (sys.executable, "-P", "-m", "deploy.cli")


class HttpPart(Service):
    """Reads and writes on one address.

    The socket is ours and stays open when the process dies: clients wait for the next one.
    """

    name = "http"
    grace_s = 7.0

    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        super().__init__()
        self._settings = settings
        self._listener = listener

    async def _spawn(self) -> ChildProcess:
        descriptor = self._listener.fileno()
        return _run(self._settings, "serve", AppKind.ALL, f"--fd={descriptor}", listener=descriptor)

    async def _is_ready(self, child: ChildProcess) -> bool:
        """The socket takes the request at once; the answer comes when the process can give it."""
        host, _, port = reachable_address_of(self._listener).rpartition(":")
        reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        try:
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return b" 200 " in await reader.readline()
        finally:
            writer.close()


class WorkerPart(Service):
    """The worker."""

    name = "worker"
    grace_s = 7.0

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings

    async def _spawn(self) -> ChildProcess:
        metrics_bind = nth_bind(self._settings.metrics_bind, 1)  # the HTTP process has the first
        return _run(self._settings.model_copy(update={"metrics_bind": metrics_bind}), "worker")

    async def _is_ready(self, child: ChildProcess) -> bool:
        """Nobody waits for the worker: what it has not done yet, it does when it is there."""
        return True


def _run(settings: Settings, *arguments: str, listener: int | None = None) -> ChildProcess:
    """Start a command of ours. It dies with us at once, so that the next start finds the way clear."""
    return ChildProcess(
        [*COMMAND, *arguments],
        death_signal=signal.SIGKILL,
        environment={**os.environ, **_variables(settings)},
        listener=listener,
    )


def _variables(settings: Settings) -> dict[str, str]:
    """The settings that `up` chooses, as environment variables; the others are there already."""
    secret, key_id = settings.pkg_signing_ed25519_secret_b64, settings.pkg_signing_key_id
    signing = {
        f"{PREFIX}PKG_SIGNING_ED25519_SECRET_B64": secret.get_secret_value() if secret else "",
        f"{PREFIX}PKG_SIGNING_KEY_ID": key_id or "",
    }
    return signing | {
        f"{PREFIX}METRICS_BIND": settings.metrics_bind or "",
        f"{PREFIX}DATA_DIR": str(settings.data_dir),
        f"{PREFIX}PUBLIC_BASE": settings.public_base,
        f"{PREFIX}DATABASE_URL": settings.database_url.get_secret_value(),
        f"{PREFIX}REDIS_URL": settings.redis_url.get_secret_value(),
    }
