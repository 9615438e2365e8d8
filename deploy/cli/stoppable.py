"""Runs commands that walk over many items; a signal may stop them at any point."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import typer

from deploy.signals import STOP_SIGNALS

EXIT_SIGNALLED = 128

T = TypeVar("T")


def run_stoppable(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run the work and return its result. The first SIGINT or SIGTERM cancels it; exit status 130 or 143."""
    return asyncio.run(_until_stopped(work()))


async def _until_stopped(work: Coroutine[Any, Any, T]) -> T:
    task = asyncio.ensure_future(work)
    stopped_by: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        if not stopped_by:
            stopped_by.append(number)
            task.cancel()

    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop, number)
    try:
        return await task
    except asyncio.CancelledError:
        if not stopped_by:
            raise
        raise typer.Exit(EXIT_SIGNALLED + stopped_by[0]) from None
