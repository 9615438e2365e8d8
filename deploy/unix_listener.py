"""Unix sockets to listen on, for a proxy on the same machine. Bound here, listened on elsewhere."""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path
from typing import Final

# The folder says who may connect: a socket file has to be writable to be connected to.
MODE: Final = 0o666


def bind_unix(path: Path) -> socket.socket:
    """A socket at this path. A socket file that nobody listens on is replaced. Raises OSError."""
    bound = socket.socket(socket.AF_UNIX)
    try:
        _remove_stale(path)
        bound.bind(str(path))
        path.chmod(MODE)
    except OSError:
        bound.close()
        raise
    return bound


def _remove_stale(path: Path) -> None:
    """Remove the socket file of a server that has ended. Raises OSError if it runs, or for another file."""
    try:
        is_socket = stat.S_ISSOCK(path.lstat().st_mode)
    except FileNotFoundError:
        return
    if not is_socket:
        raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))
    with socket.socket(socket.AF_UNIX) as probe:
        answer = probe.connect_ex(str(path))
    if answer != errno.ECONNREFUSED:
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    path.unlink()
