"""Batches of work."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from shared.batching import Batcher
from shared.errors import NotFound


class Work:
    """Doubles numbers when it may continue; records each batch."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go_on = asyncio.Event()

    async def __call__(self, items: list[int]) -> Sequence[int | Exception]:
        """Handle one batch. Zero is refused; a negative number refuses the whole batch."""
        self.batches.append(items)
        await self.go_on.wait()
        if min(items) < 0:
            raise NotFound("negative")
        return [2 * item if item else NotFound("zero") for item in items]


async def test_what_comes_during_a_batch_makes_up_the_next_one() -> None:
    """Callers do not wait for a batch to fill, but those that wait share one."""
    work = Work()
    batcher = Batcher(work, largest=3)
    callers = [asyncio.create_task(batcher.submit(1))]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    callers += [asyncio.create_task(batcher.submit(number)) for number in (2, 3, 4, 5)]
    await asyncio.sleep(0)
    work.go_on.set()
    assert await asyncio.gather(*callers) == [2, 4, 6, 8, 10]
    assert work.batches == [[1], [2, 3, 4], [5]]


async def test_an_outcome_reaches_its_own_caller_alone() -> None:
    """An item's refusal does not affect the others of its batch."""
    work = Work()
    work.go_on.set()
    batcher = Batcher(work, largest=10)
    outcomes = await asyncio.gather(*map(batcher.submit, (1, 0, 3)), return_exceptions=True)
    assert outcomes[0::2] == [2, 6]
    assert isinstance(outcomes[1], NotFound)


async def test_what_the_work_raises_reaches_every_caller_of_the_batch_and_the_next_one_goes_on() -> None:
    """A broken connection must not leave a caller waiting."""
    work = Work()
    work.go_on.set()
    batcher = Batcher(work, largest=2)
    outcomes = await asyncio.gather(*map(batcher.submit, (-1, 1, 3)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [NotFound, NotFound, int]


async def test_a_caller_that_is_cancelled_does_not_take_the_batch_with_it() -> None:
    """A client that disconnects must not undo the acknowledged work of others."""
    work = Work()
    batcher = Batcher(work, largest=2)
    gone, stays = (asyncio.create_task(batcher.submit(number)) for number in (1, 2))
    while not work.batches:
        await asyncio.sleep(0)
    gone.cancel()
    work.go_on.set()
    assert await stays == 4
    with pytest.raises(asyncio.CancelledError):
        await gone
    await batcher.close()


async def test_what_comes_in_the_very_moment_that_a_batch_ends_is_worked_on_too() -> None:
    """The batch's task is done, but its end not yet announced: in this case a publish once hung forever."""

    async def double(items: list[int]) -> Sequence[int | Exception]:
        return [2 * item for item in items]

    batcher: Batcher[int, int] = Batcher(double, largest=3)

    async def submit_a_turn_later() -> int:
        await asyncio.sleep(0)  # the batch is first in the queue of the next turn
        return await batcher.submit(2)

    async with asyncio.timeout(60):
        assert await asyncio.gather(batcher.submit(1), submit_a_turn_later()) == [2, 4]
