"""Different answers for one file are sent to an edge one after another."""

from __future__ import annotations

import asyncio
import time

from api.read.edge import MAX_SETTLING, SETTLES_S, EdgeTurns

KEY, OTHER = "index/he/ll/hello", "index/wo/rl/world"


async def is_sent_at_once(turns: EdgeTurns, key: str, etag: str) -> bool:
    """True if an answer may be sent without a wait."""
    waiting = asyncio.ensure_future(turns.wait(key, etag))
    await asyncio.sleep(0)
    is_free = waiting.done()
    await waiting
    return is_free


async def test_another_answer_waits_until_the_last_has_settled() -> None:
    """The same answer does not wait, and neither do answers for other files."""
    turns = EdgeTurns()
    assert await is_sent_at_once(turns, KEY, '"one"')
    began = time.monotonic()
    turns.was_sent(KEY, '"one"')
    assert await is_sent_at_once(turns, KEY, '"one"')
    assert await is_sent_at_once(turns, OTHER, '"two"')
    await turns.wait(KEY, '"two"')
    assert time.monotonic() - began >= SETTLES_S


async def test_what_is_remembered_is_bounded() -> None:
    """Answers that have settled are forgotten."""
    turns = EdgeTurns()
    for number in range(MAX_SETTLING):
        turns.was_sent(f"index/{number}", '"one"')
    await asyncio.sleep(SETTLES_S)
    turns.was_sent(KEY, '"one"')
    assert len(turns._sent) == 1
