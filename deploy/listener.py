"""Listening sockets: made before the server that accepts on them, so that port 0 has a number."""

from __future__ import annotations

import errno
import os
import socket

from deploy.errors import StartFailed

BACKLOG = 2048


def open_listener(bind: str) -> socket.socket:
    """Listen on HOST:PORT (an IPv6 host in brackets; port 0: any free one). Raises StartFailed."""
    host, _, port = bind.rpartition(":")
    try:
        family, _, _, _, address = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except socket.gaierror as error:
        raise StartFailed(f"cannot listen on {bind}: {error.strerror}") from None
    except OSError as error:
        raise StartFailed(f"cannot listen on {bind}: {os.strerror(error.errno or errno.EIO)}") from None


def address_of(listener: socket.socket) -> str:
    """The HOST:PORT that a socket really listens on."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def reachable_address_of(listener: socket.socket) -> str:
    """Where a client on this machine connects: loopback for a socket that listens everywhere."""
    address = address_of(listener)
    return address.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:")
