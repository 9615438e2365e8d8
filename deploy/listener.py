"""Listening sockets: made before the server that accepts on them, so that port 0 has a number."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from deploy.errors import StartFailed

BACKLOG = 2048


def open_listener(bind: str) -> socket.socket:
    """Listen on HOST:PORT (an IPv6 host in brackets; port 0: any free one). Raises StartFailed."""
    with _told(bind):
        family, address = _resolved(bind)
        return socket.create_server(address, family=family, backlog=BACKLOG)


def reserve_address(bind: str) -> socket.socket:
    """A socket on HOST:PORT that does not listen yet, and shares the address with others of its kind.

    Raises StartFailed.
    """
    with _told(bind):
        family, address = _resolved(bind)
        reserved = socket.socket(family)
        try:
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            reserved.bind(address)
        except OSError:
            reserved.close()
            raise
        return reserved


def _resolved(bind: str) -> tuple[socket.AddressFamily, tuple[str, int]]:
    host, _, port = bind.rpartition(":")
    family, _, _, _, address = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
    return family, (str(address[0]), int(address[1]))


@contextmanager
def _told(bind: str) -> Iterator[None]:
    """Failures in words for the person at the command line."""
    try:
        yield
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


def nth_bind(bind: str | None, number: int) -> str | None:
    """The address `number` ports above this one, for processes that cannot share it; port 0 stays 0."""
    if bind is None or bind.endswith(":0"):
        return bind
    host, _, port = bind.rpartition(":")
    return f"{host}:{int(port) + number}"
