"""Addresses to listen on: HOST:PORT, where an IPv6 host stands in brackets, or unix:/PATH."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Final, NamedTuple

MAX_PORT = 65535
UNIX: Final = "unix:"
# Linux has no room for more, besides the zero at the end (unix(7)).
MAX_SOCKET_PATH_BYTES: Final = 107


class HostPort(NamedTuple):
    """host: a name or an IP address, without brackets. port: 0 to 65535; 0 takes any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_host_port(text: str) -> HostPort:
    """The parts of HOST:PORT. Raises ValueError."""
    host, colon, port = text.rpartition(":")
    if not host or not colon or not port.isdecimal() or int(port) > MAX_PORT:
        raise ValueError("HOST:PORT, for example 127.0.0.1:8080")
    return HostPort(host.strip("[]"), int(port))


def parse_socket_path(text: str) -> Path | None:
    """The path of a Unix socket, unix:/PATH; None if the text has another form. Raises ValueError."""
    if not text.startswith(UNIX):
        return None
    path = Path(text.removeprefix(UNIX))
    if not path.is_absolute() or len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES:
        raise ValueError(f"unix:/PATH, with an absolute path of at most {MAX_SOCKET_PATH_BYTES} bytes")
    return path


def resolve(bind: str) -> tuple[socket.AddressFamily, HostPort]:
    """The family and IP address to listen on. Raises ValueError, socket.gaierror."""
    host, port = parse_host_port(bind)
    family, _, _, _, found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    return family, HostPort(str(found[0]), int(found[1]))
