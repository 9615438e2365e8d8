"""Processes that check archives, handed on from one registry of the tests to the next.

A start of such a process costs more than the rest of a publish. Tests of the pool itself do without this.
"""

from __future__ import annotations

from asyncio.subprocess import Process
from typing import Final

from api.write.archive.check_pool import Checks

_spare: Final[list[Process]] = []


class KeptChecks(Checks):
    """A pool that leaves its idle processes to those that come after it in the same event loop."""

    async def _process(self) -> Process:
        if not self._idle and _spare:
            self._idle.append(_spare.pop())
        return await super()._process()

    async def close(self) -> None:
        """Hand the idle processes on."""
        _spare.extend(self._idle)
        self._idle.clear()


async def end_spare_checks() -> None:
    """End the processes that nobody took."""
    while _spare:
        process = _spare.pop()
        if process.returncode is None:
            process.kill()
        await process.wait()
