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

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.protocols.utils import get_client_addr, get_path_with_query_string
from uvicorn.server import ServerState

from api.read.app import ReadService
from api.read.fast_answers import FastTarget
from api.read.header_memo import HeaderMemo
from api.read.metrics import FAST_NOT_MODIFIED, FAST_OK, HITS
from shared.http.guarded_protocol import GuardedProtocol
from shared.http.request_id import RequestIds

READ_SERVICE: Final = "read_service"
"""Key of the ReadService in the lifespan's state, for FastProtocol."""

END: Final = b"\r\n\r\n"
# A blob older than this share of its time-to-live is confirmed while it is still served.
CONFIRM_AFTER: Final = 0.75
COUNTS_WAIT_S: Final = 1.0


class FastServer:
    """What all connections of one server share: status lines with the date, ids, memo, counts."""

    def __init__(self, service: ReadService, state: ServerState, loop: asyncio.AbstractEventLoop) -> None:
        self.service = service
        self.targets = service.fast.targets
        self.wish_of = HeaderMemo(takes_origin=service.fast.takes_origin).read
        self.next_id = RequestIds().next
        self.ttl_s = service.ttl_s
        self.confirm_after_s = service.ttl_s * CONFIRM_AFTER
        self.default_headers: list[tuple[bytes, bytes]] | None = None
        self.ok = self.not_modified = b""
        self.oks = self.not_modifieds = 0
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
        oks, not_modifieds, self.oks, self.not_modifieds = self.oks, self.not_modifieds, 0, 0
        FAST_OK.inc(oks)
        FAST_NOT_MODIFIED.inc(not_modifieds)
        HITS.inc(oks + not_modifieds)
        self._state.total_requests += oks + not_modifieds


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
        answer = target.answers.get(wish.codings)
        if answer is None:
            return False
        if self.server_state.default_headers is not fast.default_headers:
            fast.tick()
        if wish.if_none_match and wish.has(answer.etag):
            status = 304
            fast.not_modifieds += 1
            self.transport.write(
                b"".join((fast.not_modified, answer.not_modified, fast.next_id().encode(), END))
            )
        else:
            status = 200
            fast.oks += 1
            self.transport.write(b"".join((fast.ok, answer.ok, fast.next_id().encode(), END, answer.body)))
        self._since, blob.was_used = now, True
        if self.timeout_keep_alive_task is not None:
            self._unset_keepalive_if_required()
        if age_s > fast.confirm_after_s:
            fast.service.blobs.refresh_ahead(blob)
        if self.access_log:
            self._log(target, status)
        return True

    def _log(self, target: FastTarget, status: int) -> None:
        """As uvicorn does on the long way."""
        path = target.line.split(b" ")[1].decode("ascii")
        scope: Any = {"client": self.client, "path": path, "query_string": b""}
        self.access_logger.info(
            '%s - "%s %s HTTP/%s" %d',
            get_client_addr(scope),
            "GET",
            get_path_with_query_string(scope),
            "1.1",
            status,
        )
