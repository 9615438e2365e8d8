"""The fast path: plain reads of cached blobs, answered from prebuilt bytes where they are received.

It takes a request if and only if all of this holds:

- nothing is being answered, half received or unsent on the connection, and what was just received is
  exactly one request head, to its last byte: no body, no second request behind it;
- the request line is `GET`, one space, the canonical path of a blob (no query, no percent-encoding, not
  the absolute form), one space, `HTTP/1.1` or `HTTP/1.0`;
- the blob is cached with its body, of at most 64 KiB, fresh, not marked stale, and the application
  answered the same wish for it before;
- the head is well-formed, not folded, of at most 8 KiB, with exactly one `Host`; `Connection` is absent,
  `keep-alive` or `close`; nothing in it speaks of framing, upgrades, expectations or ranges
  (header_memo.py lists them), nor of an `Origin` while CORS is configured.

Every other request goes to the ordinary protocol and application untouched: only there is anything
refused, redirected, loaded, streamed or counted down. Both ways answer with the same bytes but for the
request id; tests/api/read/test_fast_path.py sends thousands of requests to both.

A command line opens a connection for each request. So a connection is next to nothing until it needs the
ordinary protocol, which costs several times an answer to make: one is made then, and stays.

Readers' tokens are not looked at, and no byte of a header block is kept except what header_memo.py says.
"""

from __future__ import annotations

import asyncio
from functools import partial
from time import monotonic
from typing import Any, ClassVar, Final
from weakref import WeakKeyDictionary

import structlog
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.server import ServerState

from api.read.app import ReadService
from api.read.fast_answers import FastTarget
from api.read.header_memo import HeaderMemo
from api.read.metrics import FAST_NOT_MODIFIED, FAST_OK, HITS
from shared.http.guarded_protocol import UNSENT_BYTES, GuardedProtocol
from shared.http.request_id import RequestIds
from shared.metrics import HTTP_REQUESTS

READ_SERVICE: Final = "read_service"
"""Key of the ReadService in the lifespan's state, for FastProtocol."""

END: Final = b"\r\n\r\n"
CLOSE: Final = b"\r\nconnection: close\r\n\r\n"
OLD_VERSION: Final = b"HTTP/1.0"
# A blob older than this share of its time-to-live is confirmed while it is still served.
CONFIRM_AFTER: Final = 0.75
COUNTS_WAIT_S: Final = 1.0

log = structlog.get_logger()


class FastServer:
    """What all connections of one server share: status lines with the date, ids, memo, counts.

    Makes the ordinary protocol for those that need it.
    """

    def __init__(
        self,
        config: Config,
        state: ServerState,
        app_state: dict[str, Any],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.service: ReadService = app_state[READ_SERVICE]
        self.targets = self.service.fast.targets
        self.wish_of = HeaderMemo(takes_origin=self.service.fast.takes_origin).read
        self.ids = RequestIds().stream()
        self.ttl_s = self.service.ttl_s
        self.confirm_after_s = self.ttl_s * CONFIRM_AFTER
        self.default_headers: list[tuple[bytes, bytes]] | None = None
        self.ok = self.not_modified = b""
        self.has_access_log = self.service.has_access_log
        self.state = state
        self.live: set[Any] = state.connections
        self.connections = GuardedProtocol.connections_of(state, loop)
        self.keep_alive_s = config.timeout_keep_alive
        self.ordinary = partial(GuardedProtocol, config, state, app_state, loop)
        self._loop = loop

    def tick(self) -> None:
        """The first answer in a new second: its date."""
        self.default_headers = self.state.default_headers
        lines = b"".join(name + b": " + value + b"\r\n" for name, value in self.default_headers)
        self.ok, self.not_modified = STATUS_LINE[200] + lines, STATUS_LINE[304] + lines
        self._loop.call_later(COUNTS_WAIT_S, self._flush_counts)

    def _flush_counts(self) -> None:
        """Bring the metrics up to date; one by one they would cost as much as the answer."""
        for route, tally in self.service.fast.tallies.items():
            ok, not_modified, tally.ok, tally.not_modified = tally.ok, tally.not_modified, 0, 0
            FAST_OK.inc(ok)
            FAST_NOT_MODIFIED.inc(not_modified)
            HITS.inc(ok + not_modified)
            for status, count in ((200, ok), (304, not_modified)):
                if count:
                    HTTP_REQUESTS.labels("GET", route, status).inc(count)


class FastProtocol(asyncio.Protocol):
    """One connection. The service is the one that the application's lifespan left in its state."""

    __slots__ = ("_fast", "_ordinary", "_since", "_transport")

    _servers: ClassVar[WeakKeyDictionary[ServerState, FastServer]] = WeakKeyDictionary()

    _transport: asyncio.Transport

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """As uvicorn calls it."""
        fast = self._servers.get(server_state)
        if fast is None:
            fast = FastServer(config, server_state, app_state, _loop or asyncio.get_running_loop())
            self._servers[server_state] = fast
        self._fast = fast
        self._ordinary: GuardedProtocol | None = None
        self._since = monotonic()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count it."""
        self._transport = transport
        transport.set_write_buffer_limits(UNSENT_BYTES)
        self._fast.live.add(self)
        self._fast.connections.opened()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        if self._ordinary is None:
            self._fast.live.discard(self)
        else:
            self._ordinary.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Answer at once, or hand on."""
        if self._ordinary is None or self._ordinary.is_quiet:
            line, _, block = data.partition(b"\r\n")
            target, is_old = self._fast.targets.get(line), False
            if target is None and line.endswith(OLD_VERSION):
                target, is_old = self._fast.targets.get(line[:-1] + b"1"), True
            if target is not None and self._answer(target, block, is_old):
                return
        self._handed_on().data_received(data)

    def eof_received(self) -> None:
        """Nothing more comes; the transport closes, as soon as all is sent."""

    def pause_writing(self) -> None:
        """The reader does not keep up."""
        self._handed_on().pause_writing()

    def resume_writing(self) -> None:
        """The reader caught up."""
        self._handed_on().resume_writing()

    def _handed_on(self) -> GuardedProtocol:
        """The ordinary protocol of this connection, in charge from now on."""
        if self._ordinary is None:
            self._ordinary = self._fast.ordinary()
            self._fast.live.discard(self)
            self._ordinary.connection_made(self._transport)
        return self._ordinary

    def _answer(self, target: FastTarget, block: bytes, is_old: bool) -> bool:
        """Send the answer to a request for this target; False: it takes the long way.

        is_old: it is of HTTP/1.0, which keeps no connection here.
        """
        fast, blob, now = self._fast, target.blob, monotonic()
        age_s = now - blob.confirmed_at
        wish = fast.wish_of(block)
        if age_s >= fast.ttl_s or wish is None:
            return False
        answer = target.latest if wish.codings is target.latest_codings else target.answer_for(wish.codings)
        if answer is None:
            return False
        if fast.state.default_headers is not fast.default_headers:
            fast.tick()
        request_id = next(fast.ids)
        closes = wish.closes or is_old
        end = CLOSE if closes else END
        if wish.if_none_match and wish.has(answer.etag):
            status = 304
            target.tally.not_modified += 1
            self._transport.write(b"".join((fast.not_modified, answer.not_modified, request_id, end)))
        else:
            status = 200
            target.tally.ok += 1
            self._transport.write(b"".join((fast.ok, answer.ok, request_id, end, answer.body)))
        blob.was_used = True
        if self._ordinary is None:
            self._since = now
        else:
            self._ordinary.was_answered(now)
        if closes:
            self._transport.close()
        if age_s > fast.confirm_after_s:
            fast.service.blobs.refresh_ahead(blob)
        if fast.has_access_log:
            _log(target, status, request_id.decode(), monotonic() - now)
        return True

    @property
    def idle_since(self) -> float | None:
        """See Connection (shared/http/connections.py), which this is until it is handed on."""
        return self._since

    def sweep(self, now: float) -> None:
        """Close the connection if nothing came for too long."""
        if now - self._since > self._fast.keep_alive_s:
            self._transport.close()

    def abort(self) -> None:
        """Drop the connection with all that is unsent."""
        self._transport.abort()

    def shutdown(self) -> None:
        """The server stops (uvicorn calls it)."""
        self._transport.close()


def _log(target: FastTarget, status: int, request_id: str, seconds: float) -> None:
    """The line that the long way writes (shared/http/observation.py)."""
    log.info(
        "http_request",
        request_id=request_id,
        method="GET",
        path=target.path.decode(),
        route=target.route,
        status=status,
        duration_ms=round(seconds * 1000, 3),
    )
