"""The state of the fast path that all connections of a server share."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, Final

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.server import ServerState

from api.read.app import ReadService
from api.read.fast_loads import FastLoads
from api.read.header_memo import HeaderMemo
from api.read.metrics import FAST_NOT_MODIFIED, FAST_OK, HITS
from shared.http.guarded_protocol import GuardedProtocol
from shared.http.request_id import RequestIds
from shared.metrics import HTTP_REQUESTS

READ_SERVICE: Final = "read_service"
"""Key of the ReadService in the lifespan's state, for FastProtocol."""

# A blob older than this share of its time-to-live is confirmed while it is still served.
CONFIRM_AFTER: Final = 0.75
COUNTS_WAIT_S: Final = 1.0


class FastServer:
    """The state that all connections of one server share: status lines with the date, ids, memo, counts.

    It creates the ordinary protocol for connections that need it.
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
        self.wish_of = HeaderMemo(
            takes_origin=self.service.fast.takes_origin, access=self.service.access
        ).read
        self.access = self.service.access
        self.loads = FastLoads(self.service)
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
        """Rebuild the status lines when the server's date header has changed.

        Also schedules the update of the metrics.
        """
        self.default_headers = self.state.default_headers
        lines = b"".join(name + b": " + value + b"\r\n" for name, value in self.default_headers)
        self.ok, self.not_modified = STATUS_LINE[200] + lines, STATUS_LINE[304] + lines
        self._loop.call_later(COUNTS_WAIT_S, self._flush_counts)

    def _flush_counts(self) -> None:
        """Update the metrics. An update for each answer would cost as much as the answer."""
        for route, tally in self.service.fast.tallies.items():
            ok, not_modified, loaded = tally.ok, tally.not_modified, tally.loaded
            tally.ok = tally.not_modified = tally.loaded = 0
            FAST_OK.inc(ok)
            FAST_NOT_MODIFIED.inc(not_modified)
            HITS.inc(ok + not_modified - loaded)
            for status, count in ((200, ok), (304, not_modified)):
                if count:
                    HTTP_REQUESTS.labels("GET", route, status).inc(count)
