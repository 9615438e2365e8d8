"""Calls that run at the same time, a few at once."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from shared.errors import RegistryError

AT_ONCE: Final = 16

T = TypeVar("T")


async def together(*work: Coroutine[Any, Any, T], at_once: int = AT_ONCE) -> list[T]:
    """The results in order, at_once calls at a time; the first failure cancels the rest."""
    gate = asyncio.Semaphore(at_once)

    async def admitted(call: Coroutine[Any, Any, T]) -> T:
        async with gate:
            return await call

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(admitted(call)) for call in work]
    except* RegistryError as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]
