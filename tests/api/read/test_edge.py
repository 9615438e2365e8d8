"""Different answers for one file are sent to an edge one after another."""

from __future__ import annotations

import asyncio
import time

from api.read.edge import MAX_SETTLING, SETTLES_S, EdgeTurns

KEY, OTHER = "index/he/ll/hello", "index/wo/rl/world"


async def seconds_until(turns: EdgeTurns, key: str, etag: str) -> float:
    """The time that an answer has to wait, in seconds."""
    began = time.monotonic()
    async with asyncio.timeout(10):
        await turns.wait(key, etag)
    return time.monotonic() - began


async def test_another_answer_waits_until_the_last_has_settled() -> None:
    """The same answer does not wait, and neither do answers for other files."""
    turns = EdgeTurns()
    assert await seconds_until(turns, KEY, '"one"') < SETTLES_S / 2
    turns.was_sent(KEY, '"one"')
    assert await seconds_until(turns, KEY, '"one"') < SETTLES_S / 2
    assert await seconds_until(turns, OTHER, '"two"') < SETTLES_S / 2
    turns.was_sent(KEY, '"one"')
    assert await seconds_until(turns, KEY, '"two"') >= SETTLES_S * 0.9


async def test_what_is_remembered_is_bounded() -> None:
    """Answers that have settled are forgotten."""
    turns = EdgeTurns()
    for number in range(MAX_SETTLING):
        turns.was_sent(f"index/{number}", '"one"')
    await asyncio.sleep(SETTLES_S)
    turns.was_sent(KEY, '"one"')
    assert len(turns._sent) == 1
