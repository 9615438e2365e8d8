"""Admission by bytes: limits the total memory of concurrent work."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class ByteGate:
    """Admits work while its bytes fit into the capacity. Other work waits, first come, first served."""

    def __init__(self, capacity_bytes: int) -> None:
        """capacity_bytes: 1 or more."""
        self._capacity_bytes = capacity_bytes
        self._held_bytes = 0
        self._line: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def admit(self, size_bytes: int) -> AsyncIterator[None]:
        """Hold size_bytes while the body runs. A size above the capacity counts as the whole capacity."""
        size_bytes = min(size_bytes, self._capacity_bytes)
        await self._enter(size_bytes)
        try:
            yield
        finally:
            self._leave(size_bytes)

    async def _enter(self, size_bytes: int) -> None:
        if not self._line and self._held_bytes + size_bytes <= self._capacity_bytes:
            self._held_bytes += size_bytes
            return
        turn = asyncio.get_running_loop().create_future()
        self._line.append((size_bytes, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                with suppress(ValueError):  # _let_in() may have removed it already
                    self._line.remove((size_bytes, turn))
                self._let_in()
            else:  # it was admitted and cancelled at the same time
                self._leave(size_bytes)
            raise

    def _leave(self, size_bytes: int) -> None:
        self._held_bytes -= size_bytes
        self._let_in()

    def _let_in(self) -> None:
        while self._line and self._held_bytes + self._line[0][0] <= self._capacity_bytes:
            size_bytes, turn = self._line.popleft()
            if not turn.cancelled():
                self._held_bytes += size_bytes
                turn.set_result(None)
