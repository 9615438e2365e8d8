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
from api.read.fast_loads import PATIENCE_S, Awaited, Load, index_key_of, observe
from api.read.fast_server import FastServer
from shared.http.guarded_protocol import UNSENT_BYTES, GuardedProtocol

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
        self._awaited = None
        if self._ordinary is None:
            self._fast.live.discard(self)
        else:
            self._ordinary.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Answer from prebuilt bytes, or load the file first, or pass the data to the ordinary protocol."""
        if self._awaited is not None:
            self._awaited.behind += data
            self._transport.pause_reading()
            return
        if self._ordinary is None or self._ordinary.is_quiet:
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
        if self._awaited is not None:
            self._awaited.is_last = True
            return True
        return self._ordinary is not None and self._ordinary.eof_received()

    def pause_writing(self) -> None:
        """The client receives too slowly."""
        self._handed_on().pause_writing()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._handed_on().resume_writing()

    def _handed_on(self) -> GuardedProtocol:
        """The ordinary protocol of this connection, in charge from now on."""
        if self._ordinary is None:
            self._ordinary = self._fast.ordinary()
            self._fast.live.discard(self)
            self._ordinary.connection_made(self._transport)
        return self._ordinary

    def _begin_load(self, line: bytes, block: bytes) -> bool:
        """Begin to load the index file that is asked for. False: the ordinary protocol must answer."""
        key = index_key_of(line)
        wish, now = None if key is None else self._fast.wish_of(block), monotonic()
        if key is None or wish is None or now >= min(wish.until, self._fast.access.fresh_until):
            return False
        load = self._fast.loads.begin(key)
        if load is not None:
            self._awaited = Awaited(line, block, wish.codings, now)
            load.add_done_callback(partial(self._loaded, self._awaited))
        return load is not None

    def _loaded(self, awaited: Awaited, load: Load) -> None:
        """Answer the request that waited for a load, and continue with what was received after it."""
        self._fast.loads.ended(load, awaited.codings)
        if self._awaited is not awaited or self._transport.is_closing():
            return
        target = self._fast.targets.get(awaited.line)
        if target is None or not self._answer(target, awaited.block, False, awaited.begun):
            self._hand_on(awaited)
            return
        self._awaited = None
        target.tally.loaded += 1
        observe(target.route, monotonic() - awaited.begun)
        if awaited.behind:
            self._transport.resume_reading()
            self.data_received(awaited.behind)
        if awaited.is_last and not self.eof_received():
            self._transport.close()

    def _hand_on(self, awaited: Awaited) -> None:
        """Have the ordinary protocol answer a request that waits for a load."""
        self._awaited = None
        ordinary = self._handed_on()
        if awaited.behind:
            self._transport.resume_reading()
        ordinary.data_received(awaited.received)
        if awaited.is_last and not ordinary.eof_received():
            self._transport.close()

    def _answer(self, target: FastTarget, block: bytes, is_old: bool, begun: float | None = None) -> bool:
        """Send the answer to a request for this target. False: the ordinary protocol must answer.

        is_old: an HTTP/1.0 request; the connection is closed after the answer. begun: when the request came,
        if it had to wait.
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
        request_id = self._write(target, answer, status, wish.closes or is_old)
        blob.was_used = True
        if self._ordinary is None:
            self._since = now
        else:
            self._ordinary.was_answered(now)
        if age_s > fast.confirm_after_s:
            fast.service.blobs.refresh_ahead(blob)
        if fast.has_access_log:
            _log(target, status, request_id.decode(), monotonic() - (begun or now))
        return True

    def _write(self, target: FastTarget, answer: FastAnswer, status: int, closes: bool) -> bytes:
        """Send an answer, and count it. closes: the connection ends after it. Returns the request id."""
        fast = self._fast
        if fast.state.default_headers is not fast.default_headers:
            fast.tick()
        request_id = next(fast.ids)
        end = CLOSE if closes else END
        if status == 304:
            target.tally.not_modified += 1
            self._transport.write(b"".join((fast.not_modified, answer.not_modified, request_id, end)))
        else:
            target.tally.ok += 1
            self._transport.write(b"".join((fast.ok, answer.ok, request_id, end, answer.body)))
        if closes:
            self._transport.close()
        return request_id

    @property
    def idle_since(self) -> float | None:
        """See Connection (shared/http/connections.py). The ordinary protocol replaces this object there."""
        return None if self._awaited is not None else self._since

    def sweep(self, now: float) -> None:
        """Close the connection if the client has sent nothing for too long; hand on what waits for long."""
        if self._awaited is not None:
            if now - self._awaited.begun > PATIENCE_S:
                self._hand_on(self._awaited)
        elif now - self._since > self._fast.keep_alive_s:
            self._transport.close()

    def abort(self) -> None:
        """Drop the connection with everything unsent."""
        self._transport.abort()

    def shutdown(self) -> None:
        """The server stops (uvicorn calls it)."""
        if self._awaited is not None:
            self._awaited.is_last = True
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
