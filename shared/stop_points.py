"""Points at which a fault test stops a process (X07_REGISTRY_TEST_STOP_AT). Otherwise they cost a comparison.

A process kills itself with SIGKILL at a named point of its work, or after its N-th change of storage
(`change:N`, shared/storage/stopping.py), so that nothing is cleaned up, as in a crash of the machine. With
`pause:POINT` it stops there with SIGSTOP, once, until the test lets it continue.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import Final, Literal, get_args

StopPoint = Literal[
    "after_stage",
    "before_commit",
    "after_commit",
    "after_look",
    "after_promote",
    "after_index_put",
    "before_published_mark",
    "after_published_mark",
    "after_retire",
    "after_log_places",
    "after_log_tiles",
    "after_log_head",
    "after_log_checkpoint",
    "after_webhook_taken",
    "after_webhook_sent",
    "after_pages_put",
    "before_purge",
    "after_purge",
]
STOP_POINTS: Final[tuple[str, ...]] = get_args(StopPoint)
AFTER_CHANGE: Final = "change:"
PAUSE: Final = "pause:"

_paused: set[StopPoint] = set()


def stop_at(point: StopPoint, wanted: str | None) -> None:
    """Kill or stop this process here if the test wants it. wanted: settings.test_stop_at."""
    if wanted is None:
        return
    if wanted == point:
        die()
    if wanted == f"{PAUSE}{point}" and point not in _paused:
        _paused.add(point)
        stop_here()


def stop_here() -> None:
    """Stop this process with SIGSTOP.

    The signal goes to this thread. If it went to the process, the main thread might take it, and this one
    would go on until that one runs.
    """
    signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)


def last_change(wanted: str | None) -> int | None:
    """The number of the change of storage after which the process kills itself; None if it does not."""
    if wanted is None or not wanted.startswith(AFTER_CHANGE):
        return None
    return int(wanted.removeprefix(AFTER_CHANGE))


def die() -> None:
    """Kill this process with SIGKILL."""
    os.kill(os.getpid(), signal.SIGKILL)
