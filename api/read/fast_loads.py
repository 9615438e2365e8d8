"""Index files that are not in memory, loaded for the fast path.

The ordinary protocol and the application would cost as much for such a read as the load itself. An index file
is all that its answer depends on, so the fast path can send the answer as soon as the file is loaded. Every
other outcome is left to the application, which finds in memory what was loaded.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Final

from api.read.app import ReadService
from api.read.freshness import Served
from shared.blobs import index_key
from shared.encodings import MIN_COMPRESSED_BYTES, Coding
from shared.metrics import HTTP_SECONDS
from shared.names import PackageName
from shared.storage.interface import Missing

# More requests than this wait in the application, which refuses those that are too many.
WAITING_AT_ONCE: Final = 64
# A load that takes longer is left to the application, which waits for the same load.
PATIENCE_S: Final = 1.0

_LINE: Final = re.compile(
    rb"GET /(index/(?:1|2|3/[a-z0-9_-]|[a-z0-9_-]{2}/[a-z0-9_-]{2})/([a-z0-9_-]{1,128})) HTTP/1\.1"
)

Load = asyncio.Task[Served | Missing]


@dataclass(slots=True, eq=False)
class Awaited:
    """A request whose index file is being loaded. begun: monotonic seconds.

    line, block: the request's line and header block. codings: those that the client accepts. behind: what was
    received after the request. is_last: nothing more is received.
    """

    line: bytes
    block: bytes
    codings: tuple[Coding, ...]
    begun: float
    behind: bytes = b""
    is_last: bool = False

    @property
    def received(self) -> bytes:
        """Everything that was received, from the request's first byte on."""
        return b"%b\r\n%b%b" % (self.line, self.block, self.behind)


class FastLoads:
    """Begins loads, and has the fast path learn the answers."""

    def __init__(self, service: ReadService) -> None:
        self._service = service
        self._waiting = 0

    def begin(self, key: str) -> Load | None:
        """Begin to load an index file, or join a load of it. None: the application must answer.

        Call `ended` once the load that was returned has ended.
        """
        if self._waiting >= WAITING_AT_ONCE or not self._service.is_for_fast_path(key):
            return None
        load = self._service.blobs.begin(key)
        if load is not None:
            self._waiting += 1
        return load

    def ended(self, load: Load, codings: tuple[Coding, ...]) -> None:
        """Have the fast path learn the answer to a reader who accepts these codings, if it may give one."""
        self._waiting -= 1
        if load.cancelled() or load.exception() is not None:
            return
        served, blobs = load.result(), self._service.blobs
        if isinstance(served, Missing) or served.is_stale or not blobs.is_fresh(served.blob):
            return
        found = served.blob.identity
        if not codings or found.size_bytes < MIN_COMPRESSED_BYTES:  # there is no variant to look for
            self._service.fast.learn(served.blob, codings, found)


def index_key_of(line: bytes) -> str | None:
    """The key of the index file that a request line names; None for every other line."""
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    key, name = found[1].decode(), PackageName(found[2].decode())
    return key if key == index_key(name) else None


def observe(route: str, seconds: float) -> None:
    """Note how long the answer to a request took that waited for a load."""
    HTTP_SECONDS.labels(route).observe(seconds)
