"""Makes Python collect garbage less often in long-lived processes."""

from __future__ import annotations

import gc
from typing import Final

YOUNG_OBJECTS: Final = 10_000


def collect_less_garbage() -> None:
    """Call this once, after the start. Objects that exist then are never examined again.

    Requests leave little garbage behind. This saves a fifth of the work for each blob that is read from a
    directory, and a tenth on S3.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
