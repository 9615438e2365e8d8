"""The pace of uploads: a publisher who sends much or is refused often waits, and nobody else."""

from __future__ import annotations

import time
from uuid import uuid4

import pytest

from api.write.pace import REFUSAL_BYTES, Pace
from shared.errors import BadArchive, Unavailable

ALICE, MALLORY = uuid4(), uuid4()
# So that what is free and what must be waited for are far apart.
BYTES_PER_S, AHEAD_BYTES = 10 * REFUSAL_BYTES, REFUSAL_BYTES
REFUSAL_S = REFUSAL_BYTES / BYTES_PER_S


async def _seconds(pace: Pace, publisher: object, size_bytes: int) -> float:
    begun = time.monotonic()
    with pace.upload(publisher) as taking:  # type: ignore[arg-type]
        await taking(size_bytes)
    return time.monotonic() - begun


async def test_the_allowance_is_free_and_what_comes_after_it_takes_its_time() -> None:
    """A publisher of many small packages never notices; one who streams without end is slowed."""
    pace = Pace(BYTES_PER_S, AHEAD_BYTES)
    assert await _seconds(pace, MALLORY, AHEAD_BYTES) < REFUSAL_S
    assert await _seconds(pace, MALLORY, 3 * REFUSAL_BYTES) > 2 * REFUSAL_S
    assert await _seconds(pace, ALICE, AHEAD_BYTES) < REFUSAL_S


async def test_a_refusal_costs_the_next_upload_and_our_own_trouble_does_not() -> None:
    """However small a refused archive was, it was stored and checked; a 503 is nobody's fault."""
    pace = Pace(BYTES_PER_S, AHEAD_BYTES)
    for failure in (BadArchive, Unavailable):
        for _ in range(4):
            with pytest.raises(failure), pace.upload(MALLORY if failure is BadArchive else ALICE):
                raise failure
    assert await _seconds(pace, MALLORY, 1) > 2 * REFUSAL_S
    assert await _seconds(pace, ALICE, 1) < REFUSAL_S


async def test_who_has_the_whole_allowance_again_is_forgotten() -> None:
    """Or memory would grow with everybody who ever published."""
    pace = Pace(BYTES_PER_S, AHEAD_BYTES)
    await _seconds(pace, MALLORY, AHEAD_BYTES // 100)
    await _seconds(pace, ALICE, 2 * AHEAD_BYTES)
    await _seconds(pace, ALICE, 1)
    assert list(pace._paid_at) == [ALICE]


async def test_without_a_limit_nothing_is_counted() -> None:
    """0 turns it off, as with the limits of attempts."""
    pace = Pace(0, AHEAD_BYTES)
    assert await _seconds(pace, ALICE, 1 << 40) < REFUSAL_S
    assert not pace._paid_at
