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
from shared.host_port import parse_host_port, parse_socket_path
from shared.settings import Settings
from shared.variables import PREFIX, known_variables

# -P keeps modules in the working directory from being imported instead of ours.
COMMAND = (sys.executable, "-P", "-m", "deploy.cli")
# For the processes of `up` only: a command serves no metrics, and logs what its own environment asks for.
OF_PROCESSES = (f"{PREFIX}METRICS_BIND", f"{PREFIX}LOG_LEVEL")


class HttpService(Service):
    """Reads and writes on one address.

    The parent owns the socket, which stays open if the process dies, so that clients wait for the next
    process.
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
        """The socket accepts the request at once; the process answers when it is ready."""
        reader, writer = await _connected(reachable_address_of(self._listener))
        try:
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return b" 200 " in await reader.readline()
        finally:
            writer.close()


async def _connected(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if (path := parse_socket_path(address)) is not None:
        return await asyncio.open_unix_connection(path)
    return await asyncio.open_connection(*parse_host_port(address))


class WorkerService(Service):
    """The worker."""

    name = "worker"
    grace_s = 7.0

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings

    async def _spawn(self) -> ChildProcess:
        metrics_bind = nth_bind(self._settings.metrics_bind, 1)  # the HTTP process uses the configured one
        return _run(self._settings.model_copy(update={"metrics_bind": metrics_bind}), "worker")

    async def _is_ready(self, child: ChildProcess) -> bool:
        """Always true: nothing waits for the worker, which catches up once it runs."""
        return True


def _run(settings: Settings, *arguments: str, listener: int | None = None) -> ChildProcess:
    """Start one of this program's commands.

    It is killed when this process dies, so that the next start is free.
    """
    return ChildProcess(
        [*COMMAND, *arguments],
        death_signal=signal.SIGKILL,
        environment={**_inherited(settings), **_variables(settings)},
        listener=listener,
    )


def variables_to(settings: Settings) -> dict[str, str]:
    """The variables that lead a command to the registry that `up` runs."""
    known = known_variables(type(settings).model_fields)
    given = {name: value for name, value in os.environ.items() if name.upper() in known and value}
    variables = {**given, f"{PREFIX}BIND": settings.bind, **_variables(settings)}
    return {name: value for name, value in variables.items() if value and name not in OF_PROCESSES}


def _inherited(settings: Settings) -> dict[str, str]:
    """This process's environment without unknown variables, of which this process has warned."""
    return {name: value for name, value in os.environ.items() if name not in settings.unknown_variables}


def _variables(settings: Settings) -> dict[str, str]:
    """The settings that `up` chooses, as environment variables; the child inherits all others."""
    secret, key_id = settings.pkg_signing_ed25519_secret_b64, settings.pkg_signing_key_id
    signing = {
        f"{PREFIX}PKG_SIGNING_ED25519_SECRET_B64": secret.get_secret_value() if secret else "",
        f"{PREFIX}PKG_SIGNING_KEY_ID": key_id or "",
    }
    log_key = settings.log_key_b64
    log = {
        f"{PREFIX}LOG_KEY_B64": log_key.get_secret_value() if log_key else "",
        f"{PREFIX}LOG_ORIGIN": settings.log_origin or "",
    }
    return (
        signing
        | log
        | {
            f"{PREFIX}METRICS_BIND": settings.metrics_bind or "",
            f"{PREFIX}DATA_DIR": str(settings.data_dir),
            f"{PREFIX}PUBLIC_BASE": settings.public_base,
            f"{PREFIX}DATABASE_URL": settings.database_url.get_secret_value(),
            f"{PREFIX}REDIS_URL": settings.redis_url.get_secret_value(),
        }
    )
