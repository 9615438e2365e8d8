"""Admission by bytes: limits the total memory of concurrent work."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress


class Admission:
    """Bytes that a gate holds while a block runs. A generator would take four times as long."""

    __slots__ = ("_gate", "_size_bytes")

    def __init__(self, gate: ByteGate, size_bytes: int) -> None:
        self._gate = gate
        self._size_bytes = size_bytes

    async def __aenter__(self) -> None:
        """Wait for room."""
        await self._gate.enter(self._size_bytes)

    async def __aexit__(self, *_: object) -> None:
        """Make room."""
        self._gate.leave(self._size_bytes)


class ByteGate:
    """Admits work while its bytes fit into the capacity. Other work waits, first come, first served."""

    def __init__(self, capacity_bytes: int) -> None:
        """capacity_bytes: 1 or more."""
        self._capacity_bytes = capacity_bytes
        self._held_bytes = 0
        self._line: deque[tuple[int, asyncio.Future[None]]] = deque()

    def admit(self, size_bytes: int) -> Admission:
        """Hold size_bytes while the block runs. A size above the capacity counts as the whole capacity."""
        return Admission(self, min(size_bytes, self._capacity_bytes))

    async def enter(self, size_bytes: int) -> None:
        """Wait for room, and take it."""
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
                self.leave(size_bytes)
            raise

    def leave(self, size_bytes: int) -> None:
        """Give room back."""
        self._held_bytes -= size_bytes
        self._let_in()

    def _let_in(self) -> None:
        while self._line and self._held_bytes + self._line[0][0] <= self._capacity_bytes:
            size_bytes, turn = self._line.popleft()
            if not turn.cancelled():
                self._held_bytes += size_bytes
                turn.set_result(None)
