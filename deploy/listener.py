"""Listening sockets. They are opened before the server that accepts on them, so that port 0 has a number."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from deploy.errors import StartFailed
from deploy.unix_listener import bind_unix
from shared.host_port import UNIX, HostPort, parse_host_port, parse_socket_path, resolve

BACKLOG = 2048
TAKEN = "; name another in X07_REGISTRY_BIND (`X07_REGISTRY_BIND=127.0.0.1:8090 make run`) or --bind"


def open_listener(bind: str) -> socket.socket:
    """Listen on HOST:PORT (an IPv6 host in brackets; port 0: any free one) or unix:/PATH.

    Raises StartFailed.
    """
    with _as_start_failed(bind):
        if (path := parse_socket_path(bind)) is not None:
            bound = bind_unix(path)
            bound.listen(BACKLOG)
            return bound
        family, address = resolve(bind)
        return socket.create_server(address, family=family, backlog=BACKLOG)


def reserve_address(bind: str) -> socket.socket:
    """A socket on HOST:PORT that does not listen yet and shares the address with other such sockets.

    A Unix socket does not share its path. Raises StartFailed.
    """
    with _as_start_failed(bind):
        if (path := parse_socket_path(bind)) is not None:
            return bind_unix(path)
        family, address = resolve(bind)
        reserved = socket.socket(family)
        try:
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            reserved.bind(address)
        except OSError:
            reserved.close()
            raise
        return reserved


@contextmanager
def _as_start_failed(bind: str) -> Iterator[None]:
    """Turn failures into messages for the command line."""
    try:
        yield
    except socket.gaierror as error:
        raise StartFailed(f"cannot listen on {bind}: {error.strerror}") from None
    except OSError as error:
        mend = TAKEN if error.errno == errno.EADDRINUSE else ""
        raise StartFailed(f"cannot listen on {bind}: {os.strerror(error.errno or errno.EIO)}{mend}") from None


def is_unix(listener: socket.socket) -> bool:
    """True for a Unix socket, which only a proxy on this machine reaches."""
    return listener.family is socket.AF_UNIX


def address_of(listener: socket.socket) -> str:
    """The HOST:PORT or unix:/PATH on which a socket listens."""
    if is_unix(listener):
        return f"{UNIX}{listener.getsockname()}"
    return str(HostPort(*listener.getsockname()[:2]))


def reachable_address_of(listener: socket.socket) -> str:
    """The address for a client on this machine: loopback for a socket that listens on all addresses."""
    address = address_of(listener)
    return address.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:")


def nth_bind(bind: str | None, number: int) -> str | None:
    """The address `number` ports above the given one. Port 0 stays 0."""
    if bind is None or bind.endswith(":0"):
        return bind
    host, port = parse_host_port(bind)
    return str(HostPort(host, port + number))
