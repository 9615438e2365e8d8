"""Index files that are not in memory, loaded for the fast path.

The ordinary protocol and the application would cost as much for such a read as the load itself. An index file
is all that its answer depends on, so the fast path can send the answer as soon as the file is loaded. For
every other outcome, the request is handed on to the ordinary protocol, with the load and its beginning.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Any, Final

from structlog.contextvars import bound_contextvars

from api.read.app import ReadService
from api.read.freshness import LOAD, Load, Served
from api.read.routes import INDEX_PATTERN
from shared.blobs import index_key
from shared.encodings import MIN_COMPRESSED_BYTES, Coding
from shared.http.observation import BEGUN
from shared.http.request_id import REQUEST_ID
from shared.metrics import HTTP_SECONDS
from shared.names import PackageName
from shared.storage.interface import Missing

# More requests than this wait in the application, which refuses those that are too many.
WAITING_AT_ONCE: Final = 64

_LINE: Final = re.compile(
    rb"GET /(index/(?:1|2|3/[a-z0-9_-]|[a-z0-9_-]{2}/[a-z0-9_-]{2})/([a-z0-9_-]{1,128})) HTTP/1\.1"
)


@dataclass(slots=True, eq=False)
class Awaited:
    """A request whose index file is being loaded. begun: monotonic seconds.

    line, block: the request's line and header block. codings: those that the client accepts.
    """

    line: bytes
    block: bytes
    codings: tuple[Coding, ...]
    request_id: bytes
    begun: float
    load: Load

    @property
    def received(self) -> bytes:
        """The whole request."""
        return b"%b\r\n%b" % (self.line, self.block)

    @property
    def state(self) -> dict[str, Any]:
        """What the application has to know of a request that is handed on to it."""
        return {REQUEST_ID: self.request_id.decode(), BEGUN: self.begun, LOAD: self.load}


class FastLoads:
    """Begins loads, and has the fast path learn the answers. seconds: of the requests that waited for one."""

    def __init__(self, service: ReadService) -> None:
        self.seconds = HTTP_SECONDS.labels(INDEX_PATTERN)
        self._service = service
        self._waiting = 0

    def begin(self, key: str, request_id: bytes) -> Load | None:
        """Begin to load an index file, or join a load of it. None: the application must answer.

        Call `ended` once the load that was returned has ended.
        """
        if self._waiting >= WAITING_AT_ONCE or not self._service.is_for_fast_path(key):
            return None
        with bound_contextvars(**{REQUEST_ID: request_id.decode()}):  # for what storage logs
            load = self._service.blobs.begin(key)
        if load is not None:
            self._waiting += 1
        return load

    def ended(self, load: asyncio.Task[Served | Missing], codings: tuple[Coding, ...]) -> None:
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
