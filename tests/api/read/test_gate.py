"""Admission by bytes: in order, within the limit, and correct after every cancellation."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from api.read.gate import ByteGate


async def test_those_who_do_not_fit_wait_in_line() -> None:
    """A small size does not overtake a big one that came first."""
    gate, entered = ByteGate(100), []
    leave = asyncio.Event()

    async def work(name: str, size_bytes: int) -> None:
        async with gate.admit(size_bytes):
            entered.append(name)
            await leave.wait()

    tasks = [asyncio.create_task(work(*one)) for one in (("first", 60), ("big", 60), ("small", 10))]
    await asyncio.sleep(0)
    assert entered == ["first"]
    leave.set()
    await asyncio.gather(*tasks)
    assert entered == ["first", "big", "small"]
    assert gate._held_bytes == 0


async def test_more_than_the_gate_holds_enters_alone() -> None:
    """A size above the capacity counts as the whole capacity, so that it can still enter."""
    gate = ByteGate(100)
    async with gate.admit(10_000):
        assert gate._held_bytes == 100


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 120), st.integers(0, 4), st.none() | st.integers(0, 6)),
        max_size=12,
    )
)
def test_any_mix_of_work_and_cancellations_leaves_the_gate_empty(
    plans: list[tuple[int, int, int | None]],
) -> None:
    """Each item is a size, turns of work and the turn of cancellation; the limit holds throughout."""

    async def scenario() -> None:
        gate = ByteGate(100)

        async def work(size_bytes: int, turns: int) -> None:
            async with gate.admit(size_bytes):
                for _ in range(turns):
                    assert gate._held_bytes <= 100
                    await asyncio.sleep(0)

        tasks = [asyncio.create_task(work(size_bytes, turns)) for size_bytes, turns, _ in plans]
        for turn in range(8):
            await asyncio.sleep(0)
            for task, (_, _, cancelled_at) in zip(tasks, plans, strict=True):
                if cancelled_at == turn:
                    task.cancel()
        async with asyncio.timeout(60):
            await asyncio.gather(*tasks, return_exceptions=True)
        assert gate._held_bytes == 0
        async with asyncio.timeout(60), gate.admit(100):
            pass

    asyncio.run(scenario())
