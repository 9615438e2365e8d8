"""uvicorn's HTTP protocol with additional limits, for both tiers. Pass it to uvicorn as `http=`.

- The parser gets a complete head in canonical form (request_head.py), without the bytes after it. A head must
  arrive within HEAD_TIMEOUT_S. The bytes between the chunks of a body are limited too.
- Requests that a client sends ahead are kept as unread bytes, not as objects. One is answered at a time.
- The body of a GET or HEAD has no meaning and is dropped, and so are trailers and the rest of a body after
  its answer. All connections together drop bytes at a limited rate, so that sending much slows down only the
  sender.
- A client may close its sending side after a complete request; it still gets its answer.
- If a connection ends while the client may still be sending, our side is closed first and reading goes on
  for DRAIN_TIMEOUT_S. Otherwise the client would get a reset instead of the answer.
- A client that stalls mid-body for BODY_TIMEOUT_S is disconnected.
- A client that leaves more than UNSENT_BYTES unread for STALL_TIMEOUT_S is dropped. If all clients together
  make us hold too much, the slowest are dropped (connections.py).
- `limit_concurrency` counts requests, not idle connections.
- If the rest of an answer cannot be read (AnswerCut), the connection ends, and nothing more is logged.
- What the parser refuses is answered with the JSON of every other error, with a request id.
"""

from __future__ import annotations

import asyncio
import time
from enum import Enum
from typing import Any, ClassVar, Final, cast
from weakref import WeakKeyDictionary

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from shared.errors import BadRequest
from shared.http.answering import AnswerTransport, cut_by, overloaded
from shared.http.connections import Connections
from shared.http.error_response import error_body
from shared.http.framing import Framing
from shared.http.request_head import END_OF_HEAD, MAX_HEAD_BYTES, HeadRefused
from shared.http.request_id import RequestIds

HEAD_TIMEOUT_S: Final = 15.0
# How long unread bytes may take to arrive: the rest of a body, or bytes after the last answer.
DRAIN_TIMEOUT_S: Final = 15.0
STALL_TIMEOUT_S: Final = 30.0
# How long a client may pause within a body; one that vanished would otherwise hold its place for ever.
BODY_TIMEOUT_S: Final = 30.0
UNSENT_BYTES: Final = 4096
# A few unsent bytes may keep a whole body in memory, so a slow client counts as holding this much.
BODY_BYTES: Final = 64 * 1024
# The memory that a header takes in Python besides its bytes.
HEADER_OVERHEAD_BYTES: Final = 160
# Heads up to this size do not count: those of the command line and of most browsers.
FREE_BYTES: Final = 4096


class Phase(Enum):
    """The parser's position in a message."""

    BETWEEN = 0
    HEAD = 1
    BODY = 2
    # Nothing more is answered; received bytes are dropped.
    LEAVING = 3


class HeldFlow(FlowControl):
    """Flow control that does not resume reading while received bytes wait."""

    is_held = False
    resumed_at = 0.0

    def resume_reading(self) -> None:
        """Resume reading, unless received bytes wait."""
        if self.read_paused and not self.is_held:
            self.resumed_at = time.monotonic()
            super().resume_reading()


class GuardedProtocol(HttpToolsProtocol):
    """One connection."""

    _all: ClassVar[WeakKeyDictionary[ServerState, Connections]] = WeakKeyDictionary()
    _ids: ClassVar[RequestIds] = RequestIds()

    flow: HeldFlow

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """As uvicorn calls it."""
        super().__init__(config, server_state, app_state, _loop)
        self._requests_at_once, self.limit_concurrency = self.limit_concurrency, None
        self._connections = self.connections_of(server_state, self.loop)
        self._phase = Phase.BETWEEN
        self._since = self._heard_at = time.monotonic()
        self._framing = Framing()
        # Bytes of the head that arrives or is being answered, or bytes since the last byte of a body.
        self._head_bytes = 0
        self._waiting = b""
        # True once the client has closed its sending side.
        self._is_ended = False
        # True if nothing is being answered or unsent, so that the next bytes begin a request.
        self.is_quiet = True

    @classmethod
    def connections_of(cls, server_state: ServerState, loop: asyncio.AbstractEventLoop) -> Connections:
        """The connections of a server."""
        connections = cls._all.get(server_state)
        if connections is None:
            live: Any = server_state.connections
            connections = cls._all[server_state] = Connections(live, loop)
        return connections

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Add the connection."""
        super().connection_made(transport)
        self.flow = HeldFlow(transport)
        transport.set_write_buffer_limits(UNSENT_BYTES)
        self._connections.opened()

    def was_answered(self, now: float) -> None:
        """Note a request that the fast path answered while this was quiet. now: monotonic seconds."""
        self._since = now
        if self.timeout_keep_alive_task is not None:
            self._unset_keepalive_if_required()

    def connection_lost(self, exc: Exception | None) -> None:
        """Remove the connection."""
        self._phase, self.is_quiet, self._waiting = Phase.LEAVING, False, b""
        super().connection_lost(exc)
        if self.cycle is not None:
            self.cycle.transport = self.transport  # break the cycle of references
        self._connections.holds(self, 0)

    def data_received(self, data: bytes) -> None:
        """Feed the parser up to the end of the current request."""
        self.is_quiet, self._heard_at = False, time.monotonic()
        if self._phase is Phase.LEAVING:
            self._drop(len(data))
            return
        if self._waiting:
            self._waiting += data
        else:
            self._unset_keepalive_if_required()
            self._feed(data)
        self._account()

    def answer(self, head: bytes, state: dict[str, Any]) -> None:
        """Answer a request that another protocol received. state: what it knows, for the request's state."""
        of_all, self.app_state = self.app_state, {**self.app_state, **state}
        try:
            self.data_received(head)
        finally:
            self.app_state = of_all

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client sends no more. True while a complete request is still to be answered (RFC 9112, 9.6)."""
        self._is_ended = True
        return self._phase is Phase.BETWEEN and self._is_answering

    def _feed(self, data: bytes) -> None:
        start = 0
        while start < len(data) and self._phase is not Phase.LEAVING:
            if self._phase is Phase.BODY:
                end = self._framing.end_of_piece(data, start)
                self._head_bytes += end - start
                self._parse(data[start:end])
                if self._phase is Phase.BODY and self._head_bytes > MAX_HEAD_BYTES:
                    self._send_refusal(431, "request headers are too long")
            elif self._is_answering:
                self._wait(data[start:])
                return
            else:
                end = self._take_head(data, start)
            start = end
        self._settle()

    def _take_head(self, data: bytes, start: int) -> int:
        """Feed the head if it is complete. Returns the position of the bytes after it."""
        if self._phase is Phase.BETWEEN:
            self._phase, self._since = Phase.HEAD, time.monotonic()
        try:
            head, end = self._framing.take_head(data, start)
        except HeadRefused as refused:
            self._send_refusal(refused.status, refused.message)
            return len(data)
        self._head_bytes = len(head) or self._framing.head_bytes
        if head:
            self._parse(head)
            if self._phase is Phase.HEAD:  # the parser does not see the end of a head here
                self._send_refusal(400, "request is not HTTP")
        return end

    def _parse(self, piece: bytes) -> None:
        try:
            self.parser.feed_data(piece)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._send_refusal(400, "request is not HTTP")

    def _wait(self, data: bytes) -> None:
        self._waiting = data
        self.flow.pause_reading()
        self.flow.is_held = True

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _settle(self) -> None:
        """Update whether the connection is quiet, and since when."""
        if self._phase is Phase.BETWEEN and not self._is_answering:
            self._since = time.monotonic()
            self.is_quiet = not self._waiting and not self.flow.write_paused

    def _account(self) -> None:
        """Report how many bytes this connection makes us hold."""
        heard = len(self._waiting)
        if self._phase is Phase.HEAD:
            heard += self._head_bytes
        elif self._is_answering:
            heard += self._head_bytes + HEADER_OVERHEAD_BYTES * len(self.headers)
        held = heard if heard > FREE_BYTES else 0
        if self.flow.write_paused:
            held += max(self.transport.get_write_buffer_size(), BODY_BYTES)
        self._connections.holds(self, held)

    def on_message_begin(self) -> None:
        """A head begins. Raises HeadRefused if the parser sees it begin within a body."""
        if self._phase is not Phase.HEAD:
            raise HeadRefused
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header. Trailers are ignored (RFC 9110, 6.5.1)."""
        if self._phase is Phase.HEAD:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is complete; its body follows."""
        self._phase = Phase.BODY
        self._framing.begin_body(
            next((int(value) for name, value in self.headers if name == b"content-length"), 0)
        )
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Pass the bytes on to the application, or drop them."""
        self._head_bytes = 0
        if self.scope["method"] in ("GET", "HEAD") or self.cycle.response_complete:
            self._drop(len(body))
        else:
            super().on_body(body)

    def _drop(self, size_bytes: int) -> None:
        """Drop bytes, and resume reading when it is this connection's turn."""
        wait_s = self._connections.dropped(size_bytes)
        if wait_s > 0:
            self.flow.pause_reading()
            self.flow.is_held = True
            self.loop.call_later(wait_s, self._read_on)

    def _read_on(self) -> None:
        if not self._waiting and not self.transport.is_closing():
            self.flow.is_held = False
            self.flow.resume_reading()

    def on_message_complete(self) -> None:
        """The request is complete."""
        self._phase = Phase.BETWEEN
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Continue with received bytes that waited."""
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if self._phase is Phase.LEAVING:
            self._unset_keepalive_if_required()
            return
        self._since = time.monotonic()
        waiting, self._waiting = self._waiting, b""
        if waiting:
            self._unset_keepalive_if_required()
            self.flow.is_held = False
            self._feed(waiting)
        if not self._waiting:
            self.flow.resume_reading()
            self._settle()
        if self._is_ended and not self._is_answering:
            self.hang_up()
        self._account()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        limit = self._requests_at_once
        is_full = limit is not None and len(self.tasks) >= limit
        cycle.transport = cast(Any, AnswerTransport(self.transport, self.hang_up, self.is_leaving))
        super()._start_asgi_task(cycle, cut_by(cycle, overloaded if is_full else app))

    def _send_refusal(self, status: int, message: str) -> None:
        """Answer in JSON and close; only close if an answer is under way."""
        if not self._is_answering or not self.cycle.response_started:
            request_id = self._ids.next()
            body = error_body(BadRequest.code, message, request_id)
            head = [name + b": " + value for name, value in self.server_state.default_headers]
            head += [
                b"content-type: application/json",
                b"content-length: %d" % len(body),
                b"x-request-id: " + request_id.encode(),
                b"connection: close",
            ]
            self.transport.write(STATUS_LINE[status] + b"\r\n".join(head) + END_OF_HEAD + body)
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.hang_up()

    def hang_up(self) -> None:
        """Close the connection when everything is sent.

        A client that may be sending is read for a while longer.
        """
        is_heard = self._is_ended or (self._phase is Phase.BETWEEN and not self._waiting)
        self._phase, self.is_quiet, self._since = Phase.LEAVING, False, time.monotonic()
        self._waiting, self._head_bytes = b"", 0
        self._framing.forget()
        if is_heard:
            self.transport.close()
        elif not self.transport.is_closing():
            self.transport.write_eof()
            self.flow.is_held = False
            self.flow.resume_reading()
        self._account()

    def is_leaving(self) -> bool:
        """True if nothing more is answered."""
        return self._phase is Phase.LEAVING or self.transport.is_closing()

    def pause_writing(self) -> None:
        """The client does not keep up."""
        super().pause_writing()
        self.is_quiet, self._since = False, time.monotonic()
        self._account()

    def resume_writing(self) -> None:
        """The client caught up."""
        super().resume_writing()
        self._settle()
        self._account()

    @property
    def idle_since(self) -> float | None:
        """See Connection."""
        if self._phase is Phase.LEAVING:
            return self._since
        is_busy = self._is_answering or self._phase is Phase.BODY or self._waiting
        return None if is_busy else self._since

    def sweep(self, now: float) -> None:
        """Close the connection if it waited too long in its present state."""
        waited_s = now - self._since
        if self.flow.write_paused:
            if waited_s > STALL_TIMEOUT_S:
                self.abort()
        elif self._is_answering and self._phase is not Phase.LEAVING:
            silent_s = now - max(self._heard_at, self.flow.resumed_at)
            if self._phase is Phase.BODY and not self.flow.read_paused and silent_s > BODY_TIMEOUT_S:
                self.abort()
        elif waited_s > self._patience_s:
            self.transport.close()

    @property
    def _patience_s(self) -> float:
        """How long the client may take in the present state."""
        match self._phase:
            case Phase.BETWEEN:
                return self.timeout_keep_alive
            case Phase.HEAD:
                return HEAD_TIMEOUT_S
            case _:
                return DRAIN_TIMEOUT_S

    def abort(self) -> None:
        """Drop the connection with everything unsent."""
        self.transport.abort()
