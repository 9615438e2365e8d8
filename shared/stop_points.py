"""Where a fault test lets a process die (X07_REGISTRY_TEST_STOP_AT); when it is off, one comparison.

A process dies at a named point of its work, or after its N-th change of storage (`change:N`), by
SIGKILL: nothing is cleaned up, as when the machine goes.
"""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

if TYPE_CHECKING:  # the settings, which storage needs, need this module
    from shared.storage.interface import Storage

StopPoint = Literal[
    "after_stage",
    "before_commit",
    "after_commit",
    "after_promote",
    "after_index_put",
    "before_published_mark",
    "after_published_mark",
]
STOP_POINTS: Final[tuple[str, ...]] = get_args(StopPoint)
AFTER_CHANGE: Final = "change:"
CHANGES: Final = ("put", "put_file", "copy", "delete")


def stop_at(point: StopPoint, wanted: str | None) -> None:
    """Die here if the test wants it. wanted: settings.test_stop_at."""
    if wanted == point:
        _die()


def stop_after_changes(storage: Storage, wanted: str | None) -> None:
    """Let the process die as soon as it changed the store so often, if the test wants it."""
    if wanted is None or not wanted.startswith(AFTER_CHANGE):
        return
    done, last = itertools.count(1), int(wanted.removeprefix(AFTER_CHANGE))
    for name in CHANGES:
        setattr(storage, name, _counted(getattr(storage, name), done, last))


def _counted(
    change: Callable[..., Awaitable[Any]], done: itertools.count[int], last: int
) -> Callable[..., Awaitable[Any]]:
    async def counted(*args: Any, **kwargs: Any) -> Any:
        outcome = await change(*args, **kwargs)
        if next(done) == last:
            _die()
        return outcome

    return counted


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
