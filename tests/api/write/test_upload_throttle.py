"""Upload throttling: only a publisher who sends much, or is refused often, has to wait."""

from __future__ import annotations

import asyncio
import time
from uuid import UUID, uuid4

import pytest

from api.write.upload_throttle import REFUSAL_BYTES, Pace
from shared.errors import Unavailable
from shared.publish_errors import BadArchive

ALICE, MALLORY = uuid4(), uuid4()
# A refusal is paid off in a second, which is longer than a busy machine pauses.
BYTES_PER_S, AHEAD_BYTES = REFUSAL_BYTES, REFUSAL_BYTES


async def _is_taken_at_once(pace: Pace, publisher: UUID, size_bytes: int) -> bool:
    with pace.upload(publisher) as taking:
        task = asyncio.ensure_future(taking(size_bytes))
        await asyncio.sleep(0)
        is_taken = task.done()
        task.cancel()
    return is_taken


async def test_the_allowance_is_free_and_what_comes_after_it_takes_its_time() -> None:
    """A publisher of many small packages never notices; an endless upload is slowed down."""
    pace = Pace(10 * BYTES_PER_S, AHEAD_BYTES)
    assert await _is_taken_at_once(pace, MALLORY, AHEAD_BYTES)
    begun = time.monotonic()
    with pace.upload(MALLORY) as taking:
        await taking(3 * REFUSAL_BYTES)
    assert time.monotonic() - begun > 0.2
    assert await _is_taken_at_once(pace, ALICE, AHEAD_BYTES)


async def test_a_refusal_costs_the_next_upload_and_our_own_trouble_does_not() -> None:
    """However small a refused archive was, it was stored and checked. A 503 is not the publisher's fault."""
    pace = Pace(BYTES_PER_S, AHEAD_BYTES)
    for failure in (BadArchive, Unavailable):
        for _ in range(4):
            with pytest.raises(failure), pace.upload(MALLORY if failure is BadArchive else ALICE):
                raise failure
    assert not await _is_taken_at_once(pace, MALLORY, 1)
    assert await _is_taken_at_once(pace, ALICE, 1)


async def test_who_has_the_whole_allowance_again_is_forgotten() -> None:
    """Otherwise memory would grow with every publisher."""
    pace = Pace(BYTES_PER_S, AHEAD_BYTES)
    for publisher, size_bytes in ((MALLORY, AHEAD_BYTES // 100), (ALICE, 2 * AHEAD_BYTES), (ALICE, 1)):
        with pace.upload(publisher) as taking:
            await taking(size_bytes)
    assert list(pace._paid_at) == [ALICE]


async def test_without_a_limit_nothing_is_counted() -> None:
    """0 disables the limit, like the limits of attempts."""
    pace = Pace(0, AHEAD_BYTES)
    assert await _is_taken_at_once(pace, ALICE, 1 << 40)
    assert not pace._paid_at
