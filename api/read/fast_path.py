"""The fast path: plain reads of cached blobs, answered from prebuilt bytes where they are received.

It takes a request if and only if all of this holds:

- nothing is being answered, half received or unsent on the connection, and what was just received is
  exactly one request head, to its last byte: no body, no second request behind it;
- the request line is `GET`, one space, the canonical path of a blob (no query, no percent-encoding, not
  the absolute form), one space, `HTTP/1.1`;
- the blob is cached with its body, of at most 64 KiB, fresh, not marked stale, and the application
  answered the same wish for it before;
- the head is well-formed, not folded, of at most 8 KiB, with exactly one `Host`; `Connection` is absent
  or `keep-alive`; nothing in it speaks of framing, upgrades, expectations or ranges (header_memo.py
  lists them), nor of an `Origin` while CORS is configured.

Every other request goes to the ordinary protocol and application untouched: only there is anything
refused, redirected, loaded, streamed or counted down. Both ways answer with the same bytes but for the
request id; tests/api/read/test_fast_path.py sends thousands of requests to both.

Readers' tokens are not looked at, and no byte of a header block is kept except what header_memo.py says.
"""

from __future__ import annotations

import asyncio
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
from shared.http.guarded_protocol import GuardedProtocol
from shared.http.request_id import RequestIds
from shared.metrics import HTTP_REQUESTS

READ_SERVICE: Final = "read_service"
"""Key of the ReadService in the lifespan's state, for FastProtocol."""

END: Final = b"\r\n\r\n"
# A blob older than this share of its time-to-live is confirmed while it is still served.
CONFIRM_AFTER: Final = 0.75
COUNTS_WAIT_S: Final = 1.0

log = structlog.get_logger()


class FastServer:
    """What all connections of one server share: status lines with the date, ids, memo, counts."""

    def __init__(self, service: ReadService, state: ServerState, loop: asyncio.AbstractEventLoop) -> None:
        self.service = service
        self.targets = service.fast.targets
        self.wish_of = HeaderMemo(takes_origin=service.fast.takes_origin).read
        self.ids = RequestIds().stream()
        self.ttl_s = service.ttl_s
        self.confirm_after_s = service.ttl_s * CONFIRM_AFTER
        self.default_headers: list[tuple[bytes, bytes]] | None = None
        self.ok = self.not_modified = b""
        self.has_access_log = service.has_access_log
        self._state = state
        self._loop = loop

    def tick(self) -> None:
        """The first answer in a new second: its date."""
        self.default_headers = self._state.default_headers
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


class FastProtocol(GuardedProtocol):
    """One connection. The service is the one that the application's lifespan left in its state."""

    _servers: ClassVar[WeakKeyDictionary[ServerState, FastServer]] = WeakKeyDictionary()

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """As uvicorn calls it."""
        super().__init__(config, server_state, app_state, _loop)
        fast = self._servers.get(server_state)
        if fast is None:
            fast = FastServer(app_state[READ_SERVICE], server_state, self.loop)
            self._servers[server_state] = fast
        self._fast = fast

    def data_received(self, data: bytes) -> None:
        """Answer at once, or hand on."""
        if self._is_quiet:
            line, _, block = data.partition(b"\r\n")
            target = self._fast.targets.get(line)
            if target is not None and self._answer(target, block):
                return
        super().data_received(data)

    def _answer(self, target: FastTarget, block: bytes) -> bool:
        """Send the answer to a request for this target; False: it takes the long way."""
        fast, blob, now = self._fast, target.blob, monotonic()
        age_s = now - blob.confirmed_at
        wish = fast.wish_of(block)
        if age_s >= fast.ttl_s or wish is None:
            return False
        answer = target.latest if wish.codings is target.latest_codings else target.answer_for(wish.codings)
        if answer is None:
            return False
        if self.server_state.default_headers is not fast.default_headers:
            fast.tick()
        request_id = next(fast.ids)
        if wish.if_none_match and wish.has(answer.etag):
            status = 304
            target.tally.not_modified += 1
            self.transport.write(b"".join((fast.not_modified, answer.not_modified, request_id, END)))
        else:
            status = 200
            target.tally.ok += 1
            head = b"".join((fast.ok, answer.ok, request_id, END))
            self.transport.writelines((head, answer.body))
        self._since, blob.was_used = now, True
        if self.timeout_keep_alive_task is not None:
            self._unset_keepalive_if_required()
        if age_s > fast.confirm_after_s:
            fast.service.blobs.refresh_ahead(blob)
        if fast.has_access_log:
            _log(target, status, request_id.decode(), monotonic() - now)
        return True


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
