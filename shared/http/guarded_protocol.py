"""uvicorn's HTTP protocol, with the bounds that it lacks. For both tiers: give it to uvicorn as `http=`.

- A head has at most MAX_HEAD_BYTES, MAX_HEADERS and MAX_TARGET_BYTES (431, 414), one `Host` (400), and
  HEAD_TIMEOUT_S to arrive in; so has whatever else is between two bytes of a body.
- Requests that a client sends ahead wait as bytes, unread, not as objects: one is answered at a time.
- A body with GET or HEAD means nothing, and is dropped; so is what comes of a body after the answer. All
  connections together drop it at a bounded rate, so that sending much costs the sender and nobody else.
- Who sends nothing more of a body for BODY_TIMEOUT_S while we read is dropped.
- A reader who leaves more than UNSENT_BYTES unsent for STALL_TIMEOUT_S is dropped; so are the slowest
  when what clients make us hold adds up (connections.py).
- An idle connection costs no request its place: `limit_concurrency` counts requests alone.
- An answer whose rest cannot be had (AnswerCut) ends with its connection, without another word in the log.
- What the parser refuses is answered in the JSON shape of every other error, with a request id.
"""

from __future__ import annotations

import asyncio
import time
from enum import Enum
from typing import Any, ClassVar, Final
from weakref import WeakKeyDictionary

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from shared.errors import AnswerCut, BadRequest, Unavailable
from shared.http.connections import Connections
from shared.http.error_response import error_body, error_response
from shared.http.request_id import RequestIdMiddleware, RequestIds

# As nginx has them by default: 8 KiB of request line, 32 KiB in all.
MAX_TARGET_BYTES: Final = 8 * 1024
MAX_HEAD_BYTES: Final = 32 * 1024
MAX_HEADERS: Final = 100
HEAD_TIMEOUT_S: Final = 15.0
# How long the rest of a body may take that nobody reads any more.
DRAIN_TIMEOUT_S: Final = 15.0
STALL_TIMEOUT_S: Final = 30.0
# How long nothing may come of a body that is read: who vanished would else hold its place for ever.
BODY_TIMEOUT_S: Final = 30.0
UNSENT_BYTES: Final = 4096
# A few unsent bytes may keep a whole body in memory: a reader who does not keep up counts for this much.
BODY_BYTES: Final = 64 * 1024
# What a header costs besides its bytes, as Python holds it.
HEADER_OVERHEAD_BYTES: Final = 160
# Heads up to here are held for free: a command line's, and most browsers'.
FREE_BYTES: Final = 4096
# Pieces in which a body of unknown length is fed: so few requests behind it are read ahead.
PIECE_BYTES: Final = 4096
END_OF_HEAD: Final = b"\r\n\r\n"


class Phase(Enum):
    """Where the parser is in a message."""

    BETWEEN = 0
    HEAD = 1
    BODY = 2
    BROKEN = 3


class Refused(Exception):
    """Raised through the parser when a head breaks a rule of ours; it then counts as what is not HTTP."""


class HeldFlow(FlowControl):
    """Flow control that does not read on while bytes of the client wait already."""

    is_held = False
    resumed_at = 0.0

    def resume_reading(self) -> None:
        """Read on, unless bytes wait."""
        if self.read_paused and not self.is_held:
            self.resumed_at = time.monotonic()
            super().resume_reading()


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    await error_response(Unavailable("too many requests at once, try again"), scope)(scope, receive, send)


def _cut_by(cycle: RequestResponseCycle, app: ASGIApp) -> Any:
    """The application, for one request: what it cuts is over, as if the reader had gone."""

    async def answered(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except AnswerCut:
            cycle.disconnected = True
            cycle.transport.close()

    return answered


class GuardedProtocol(HttpToolsProtocol):
    """One connection."""

    _all: ClassVar[WeakKeyDictionary[ServerState, Connections]] = WeakKeyDictionary()
    _overloaded: ClassVar[Any] = RequestIdMiddleware(_refuse)
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
        # Bytes since the head began, or since the last byte of the body; those of the piece being fed.
        self._head_bytes = self._piece_bytes = 0
        self._body_left = 0
        self._waiting = b""
        self._refusal = (400, "request is not HTTP")
        # True if the next bytes begin a request and nothing is being answered or unsent.
        self.is_quiet = True

    @classmethod
    def connections_of(cls, server_state: ServerState, loop: asyncio.AbstractEventLoop) -> Connections:
        """The book-keeping of a server."""
        connections = cls._all.get(server_state)
        if connections is None:
            live: Any = server_state.connections
            connections = cls._all[server_state] = Connections(live, loop)
        return connections

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count it."""
        super().connection_made(transport)
        self.flow = HeldFlow(transport)
        transport.set_write_buffer_limits(UNSENT_BYTES)
        self._connections.opened()

    def was_answered(self, now: float) -> None:
        """A request was answered without this protocol, which was quiet. now: monotonic seconds."""
        self._since = now
        if self.timeout_keep_alive_task is not None:
            self._unset_keepalive_if_required()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._phase, self.is_quiet, self._waiting = Phase.BROKEN, False, b""
        super().connection_lost(exc)
        self._connections.holds(self, 0)

    def data_received(self, data: bytes) -> None:
        """Feed the parser as much as one request at a time allows."""
        self.is_quiet, self._heard_at = False, time.monotonic()
        if self._waiting:
            self._waiting += data
        else:
            self._unset_keepalive_if_required()
            self._feed(data)
        self._account()

    def _feed(self, data: bytes) -> None:
        start = 0
        while start < len(data) and self._phase is not Phase.BROKEN:
            if self._phase is Phase.BETWEEN and self._is_answering:
                self._wait(data[start:])
                return
            end = self._end_of_piece(data, start)
            self._piece_bytes = end - start
            self._head_bytes += end - start
            super().data_received(data[start:end])
            if self._phase in (Phase.HEAD, Phase.BODY) and self._head_bytes > MAX_HEAD_BYTES:
                self._send_refusal(431, "request headers are too long")
            start = end
        self._settle()

    def _end_of_piece(self, data: bytes, start: int) -> int:
        """Up to the end of the next head, of a body of known length, or of a piece of an unknown one."""
        if self._phase is Phase.BODY and self._body_left > 0:
            return min(start + self._body_left, len(data))
        ahead = PIECE_BYTES if self._phase is Phase.BODY else 0
        found = data.find(END_OF_HEAD, start + ahead)
        return len(data) if found < 0 else found + len(END_OF_HEAD)

    def _wait(self, data: bytes) -> None:
        self._waiting = data
        self.flow.pause_reading()
        self.flow.is_held = True

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _settle(self) -> None:
        """Note whether the connection is quiet, and since when."""
        if self._phase is Phase.BETWEEN and not self._is_answering:
            self._since = time.monotonic()
            self.is_quiet = not self._waiting and not self.flow.write_paused

    def _account(self) -> None:
        """Tell what this connection makes us hold."""
        heard = len(self._waiting)
        if self._phase is Phase.HEAD or self._is_answering:
            heard += self._head_bytes + HEADER_OVERHEAD_BYTES * len(self.headers or ())
        held = heard if heard > FREE_BYTES else 0
        if self.flow.write_paused:
            held += max(self.transport.get_write_buffer_size(), BODY_BYTES)
        self._connections.holds(self, held)

    def on_message_begin(self) -> None:
        """A request line begins."""
        super().on_message_begin()
        self._phase, self._head_bytes, self._since = Phase.HEAD, self._piece_bytes, time.monotonic()

    def on_url(self, url: bytes) -> None:
        """A part of the target. Raises Refused."""
        super().on_url(url)
        if len(self.url) > MAX_TARGET_BYTES:
            self._refusal = (414, "request target is too long")
            raise Refused

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer. Raises Refused."""
        super().on_header(name, value)
        if len(self.headers) > MAX_HEADERS:
            self._refusal = (431, "request has too many headers")
            raise Refused

    def on_headers_complete(self) -> None:
        """The head is whole; what follows is its body. Raises Refused."""
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refusal = (431, "request headers are too long")
            raise Refused
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1 or (hosts == 0 and self.parser.get_http_version() != "1.0"):  # RFC 9112, 3.2
            self._refusal = (400, "a request needs exactly one Host header")
            raise Refused
        self._phase = Phase.BODY
        self._body_left = next(
            (int(value) for name, value in self.headers if name == b"content-length" and value.isdigit()), 0
        )
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Count down, and hand on or drop."""
        self._body_left -= len(body)
        self._head_bytes = 0
        if self.scope["method"] in ("GET", "HEAD") or self.cycle.response_complete:
            self._drop(len(body))
        else:
            super().on_body(body)

    def _drop(self, size_bytes: int) -> None:
        """Read on when it is this connection's turn to have more dropped."""
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
        """The request is whole."""
        if self._phase is not Phase.BROKEN:
            self._phase, self._body_left = Phase.BETWEEN, 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on with what waited."""
        super().on_response_complete()
        self._since = time.monotonic()
        waiting, self._waiting = self._waiting, b""
        if self.transport.is_closing():
            return
        if waiting:
            self._unset_keepalive_if_required()
            self.flow.is_held = False
            self._feed(waiting)
        if not self._waiting:
            self.flow.resume_reading()
            self._settle()
        self._account()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        limit = self._requests_at_once
        is_full = limit is not None and len(self.tasks) >= limit
        super()._start_asgi_task(cycle, _cut_by(cycle, self._overloaded if is_full else app))

    def send_400_response(self, msg: str) -> None:
        """What the parser refuses."""
        self._send_refusal(*self._refusal)

    def _send_refusal(self, status: int, message: str) -> None:
        """Answer in JSON and hang up; only hang up if an answer is on its way already."""
        self._phase, self.is_quiet = Phase.BROKEN, False
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
        self.transport.close()

    def pause_writing(self) -> None:
        """The reader does not keep up."""
        super().pause_writing()
        self.is_quiet, self._since = False, time.monotonic()
        self._account()

    def resume_writing(self) -> None:
        """The reader caught up."""
        super().resume_writing()
        self._settle()
        self._account()

    @property
    def idle_since(self) -> float | None:
        """See Connection."""
        if self._is_answering or self._phase in (Phase.BODY, Phase.BROKEN) or self._waiting:
            return None
        return self._since

    def sweep(self, now: float) -> None:
        """Close the connection if it waited too long in the state that it is in."""
        waited_s = now - self._since
        if self.flow.write_paused:
            if waited_s > STALL_TIMEOUT_S:
                self.abort()
        elif self._is_answering:
            silent_s = now - max(self._heard_at, self.flow.resumed_at)
            if self._phase is Phase.BODY and not self.flow.read_paused and silent_s > BODY_TIMEOUT_S:
                self.abort()
        elif (
            (self._phase is Phase.BETWEEN and waited_s > self.timeout_keep_alive)
            or (self._phase is Phase.HEAD and waited_s > HEAD_TIMEOUT_S)
            or (self._phase is Phase.BODY and waited_s > DRAIN_TIMEOUT_S)
        ):
            self.transport.close()

    def abort(self) -> None:
        """Drop the connection with all that is unsent."""
        self.transport.abort()
