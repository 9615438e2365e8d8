"""The fast path: plain reads of cached blobs, answered from prebuilt bytes where they are received.

It takes a request if and only if all of this holds:

- nothing is being answered, half received or unsent on the connection, and what was just received is
  exactly one request head, to its last byte: no body, no second request behind it;
- the request line is `GET`, one space, the canonical path of a blob (no query, no percent-encoding, not
  the absolute form), one space, `HTTP/1.1` or `HTTP/1.0`;
- the blob is cached with its body, of at most 64 KiB, fresh, not marked stale, and the application has
  already answered a request for it with the same accepted codings; or it is an index file that is not in
  memory, and the connection has not needed the ordinary protocol yet (fast_loads.py);
- the head is well-formed, not folded, of at most 8 KiB, with exactly one `Host`; `Connection` is absent,
  `keep-alive` or `close`; no header concerns framing, upgrades, expectations or ranges
  (header_memo.py lists them), and none is `Origin` while CORS is configured.

Every other request goes to the ordinary protocol and application unchanged. Refusals, redirects, other loads
and streaming happen only there. Both ways answer with the same bytes except the request id;
tests/api/read/test_fast_path.py sends thousands of requests to both.

A command-line client opens a new connection for each request. A connection therefore starts without the
ordinary protocol object, which costs several times as much to create as one answer. It is created on first
need and kept.

Clients' tokens are not read, except in a private registry, where a block is judged once for each state of the
list of tokens (access.py). Of a header block, only the bytes that header_memo.py describes are kept.
"""

from __future__ import annotations

import asyncio
from functools import partial
from time import monotonic
from typing import Any, ClassVar, Final
from weakref import WeakKeyDictionary

import structlog
from uvicorn.config import Config
from uvicorn.server import ServerState

from api.read.fast_answers import FastAnswer, FastTarget
from api.read.fast_loads import Awaited, index_key_of
from api.read.fast_server import FastServer
from api.read.freshness import Served, task_of
from shared.http.guarded_protocol import UNSENT_BYTES, GuardedProtocol
from shared.metrics import HTTP_IN_FLIGHT
from shared.storage.interface import Missing

END: Final = b"\r\n\r\n"
CLOSE: Final = b"\r\nconnection: close\r\n\r\n"
OLD_VERSION: Final = b"HTTP/1.0"

log = structlog.get_logger()


class FastProtocol(asyncio.Protocol):
    """One connection. The service is the one that the application's lifespan left in its state."""

    __slots__ = ("_awaited", "_fast", "_ordinary", "_since", "_transport")

    _servers: ClassVar[WeakKeyDictionary[ServerState, FastServer]] = WeakKeyDictionary()

    _transport: asyncio.Transport

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """The parameters are those that uvicorn passes."""
        fast = self._servers.get(server_state)
        if fast is None:
            fast = FastServer(config, server_state, app_state, _loop or asyncio.get_running_loop())
            self._servers[server_state] = fast
        self._fast = fast
        self._ordinary: GuardedProtocol | None = None
        self._awaited: Awaited | None = None
        self._since = monotonic()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Register the connection."""
        self._transport = transport
        transport.set_write_buffer_limits(UNSENT_BYTES)
        self._fast.live.add(self)
        self._fast.connections.opened()

    def connection_lost(self, exc: Exception | None) -> None:
        """Remove the connection, or tell the ordinary protocol."""
        self._taken()
        if self._ordinary is None:
            self._fast.live.discard(self)
        else:
            self._ordinary.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Answer from prebuilt bytes, or load the file first, or pass the data to the ordinary protocol."""
        if self._awaited is None and (self._ordinary is None or self._ordinary.is_quiet):
            line, _, block = data.partition(b"\r\n")
            target, is_old = self._fast.targets.get(line), False
            if target is None and line.endswith(OLD_VERSION):
                target, is_old = self._fast.targets.get(line[:-1] + b"1"), True
            if target is not None and self._answer(target, block, is_old):
                return
            if target is None and self._ordinary is None and self._begin_load(line, block):
                return
        self._handed_on().data_received(data)

    def eof_received(self) -> bool:
        """The client sends nothing more. False: the transport closes as soon as everything is sent."""
        if self._awaited is None and self._ordinary is None:
            return False
        return self._handed_on().eof_received()

    def pause_writing(self) -> None:
        """The client receives too slowly."""
        self._handed_on().pause_writing()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._handed_on().resume_writing()

    def _handed_on(self) -> GuardedProtocol:
        """The ordinary protocol of this connection, in charge from now on, also of a request that waits."""
        if self._ordinary is None:
            self._ordinary = self._fast.ordinary()
            self._fast.live.discard(self)
            self._ordinary.connection_made(self._transport)
        if (awaited := self._taken()) is not None:
            self._ordinary.answer(awaited.received, awaited.state)
        return self._ordinary

    def _begin_load(self, line: bytes, block: bytes) -> bool:
        """Begin to load the index file that is asked for. False: the ordinary protocol must answer."""
        fast, key, now = self._fast, index_key_of(line), monotonic()
        wish = None if key is None else fast.wish_of(block)
        if key is None or wish is None or now >= min(wish.until, fast.access.fresh_until):
            return False
        request_id = next(fast.ids)
        if (load := fast.loads.begin(key, request_id)) is None:
            return False
        self._awaited = awaited = Awaited(line, block, wish.codings, request_id, now, load)
        HTTP_IN_FLIGHT.inc()
        task_of(load).add_done_callback(partial(self._loaded, awaited))
        return True

    def _taken(self) -> Awaited | None:
        """The request that waits for a load, if there is one. It does not wait here any more."""
        awaited, self._awaited = self._awaited, None
        if awaited is not None:
            HTTP_IN_FLIGHT.dec()
        return awaited

    def _loaded(self, awaited: Awaited, load: asyncio.Task[Served | Missing]) -> None:
        """Answer the request that waited for a load, unless that is the ordinary protocol's already."""
        try:
            self._fast.loads.ended(load, awaited.codings)
            if self._awaited is awaited and not self._transport.is_closing():
                self._answer_awaited(awaited)
        except BaseException:
            # The event loop closes a connection for what data_received raises, but not for a callback.
            self._transport.abort()
            raise

    def _answer_awaited(self, awaited: Awaited) -> None:
        self._taken()  # first, because a full send buffer calls for the ordinary protocol
        target = self._fast.targets.get(awaited.line)
        if target is None or not self._answer(target, awaited.block, False, awaited):
            self._handed_on().answer(awaited.received, awaited.state)
            return
        target.tally.loaded += 1
        self._fast.loads.seconds.observe(monotonic() - awaited.begun)

    def _answer(self, target: FastTarget, block: bytes, is_old: bool, awaited: Awaited | None = None) -> bool:
        """Send the answer to a request for this target. False: the ordinary protocol must answer.

        is_old: an HTTP/1.0 request; the connection is closed after the answer. awaited: the request, if it
        had to wait.
        """
        fast, blob, now = self._fast, target.blob, monotonic()
        age_s = now - blob.confirmed_at
        wish = fast.wish_of(block)
        if age_s >= fast.ttl_s or wish is None or now >= wish.until or now >= fast.access.fresh_until:
            return False
        answer = target.latest if wish.codings is target.latest_codings else target.answer_for(wish.codings)
        if answer is None:
            return False
        status = 304 if wish.if_none_match and wish.has(answer.etag) else 200
        request_id = next(fast.ids) if awaited is None else awaited.request_id
        self._write(target, answer, status, request_id, closes=wish.closes or is_old)
        blob.was_used = True
        if self._ordinary is None:
            self._since = now
        else:
            self._ordinary.was_answered(now)
        if age_s > fast.confirm_after_s:
            fast.service.blobs.refresh_ahead(blob)
        if fast.has_access_log:
            begun = now if awaited is None else awaited.begun
            _log(target, status, request_id.decode(), monotonic() - begun)
        return True

    def _write(
        self, target: FastTarget, answer: FastAnswer, status: int, request_id: bytes, *, closes: bool
    ) -> None:
        """Send an answer, and count it. closes: the connection ends after it."""
        fast = self._fast
        if fast.state.default_headers is not fast.default_headers:
            fast.tick()
        end = CLOSE if closes else END
        if status == 304:
            target.tally.not_modified += 1
            self._transport.write(b"".join((fast.not_modified, answer.not_modified, request_id, end)))
        else:
            target.tally.ok += 1
            self._transport.write(b"".join((fast.ok, answer.ok, request_id, end, answer.body)))
        if closes:
            self._transport.close()

    @property
    def idle_since(self) -> float | None:
        """See Connection (shared/http/connections.py). The ordinary protocol replaces this object there."""
        return None if self._awaited is not None else self._since

    def sweep(self, now: float) -> None:
        """Close the connection if the client has sent nothing for too long."""
        if self._awaited is None and now - self._since > self._fast.keep_alive_s:
            self._transport.close()

    def abort(self) -> None:
        """Drop the connection with everything unsent."""
        self._transport.abort()

    def shutdown(self) -> None:
        """The server stops (uvicorn calls it). A request that waits is answered first."""
        if self._awaited is not None:
            self._handed_on().shutdown()
        else:
            self._transport.close()


def _log(target: FastTarget, status: int, request_id: str, seconds: float) -> None:
    """Write the log line that the ordinary application writes (shared/http/observation.py)."""
    log.info(
        "http_request",
        request_id=request_id,
        method="GET",
        path=target.path.decode(),
        route=target.route,
        status=status,
        duration_ms=round(seconds * 1000, 3),
    )
