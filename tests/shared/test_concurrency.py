"""Concurrent calls: their failures and their cancellation."""

from __future__ import annotations

import asyncio

import pytest

from shared.concurrency import together
from shared.errors import StorageUnavailable


async def _refused(cause: Exception) -> None:
    raise StorageUnavailable from cause


@pytest.mark.parametrize("at_once", [1, 8])
async def test_the_first_failure_is_raised_as_it_is(at_once: int) -> None:
    """People and logs are told its cause. Nothing is left that Python would warn of."""
    cause = OSError(28, "No space left on device")
    with pytest.raises(StorageUnavailable) as raised:
        await together(_refused(cause), *(asyncio.sleep(60) for _ in range(3)), at_once=at_once)
    assert raised.value.__cause__ is cause


async def _full() -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("at_once", [1, 8])
async def test_an_error_of_the_system_is_no_group(at_once: int) -> None:
    """A command turns it into a sentence; of a group it would print a traceback."""
    with pytest.raises(OSError, match="No space left"):
        await together(_full(), asyncio.sleep(60), at_once=at_once)


async def test_calls_that_never_began_are_no_warning(recwarn: pytest.WarningsRecorder) -> None:
    """A person who presses Ctrl-C reads nothing of coroutines."""
    calls = [asyncio.sleep(60) for _ in range(4)]
    work = asyncio.ensure_future(together(*calls, at_once=2))
    await asyncio.sleep(0)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert [str(warning.message) for warning in recwarn] == []
