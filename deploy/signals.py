"""Stops a long-running command: the first SIGINT or SIGTERM cancels its work."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


async def run_until_stopped(work: Coroutine[Any, Any, None]) -> None:
    """Run work until it ends or a signal cancels it. After that it may clean up undisturbed.

    Later signals have no effect, because a second Ctrl-C must not interrupt the clean-up.
    """
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    stopping = False

    def stop() -> None:
        nonlocal stopping
        if not stopping:
            stopping = True
            task.cancel()

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop)
    try:
        await task
    except asyncio.CancelledError:
        if not stopping:
            raise
