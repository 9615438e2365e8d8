"""The write API's own metrics: the time that each stage of a publish takes, and the outcome of changes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal, get_args

from prometheus_client import Counter, Histogram

from shared.tracing import span

Stage = Literal["spool", "check", "stage", "commit", "visible"]

STAGE_SECONDS: Final = Histogram(
    "x07_publish_stage_seconds",
    "Time of each stage of a publish: `spool` (upload to disk), `check` (archive), `stage` (bytes to "
    "storage), `commit` (rows), `visible` (wait for a worker). Refused publishes are included.",
    ["stage"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
for _stage in get_args(Stage):
    STAGE_SECONDS.labels(_stage)
CHANGES: Final = Counter(
    "x07_changes_total",
    "Changes, by when readers saw them: `visible` before the answer was sent, or `later`.",
    ["outcome"],
)
for _outcome in ("visible", "later"):
    CHANGES.labels(_outcome)  # 0 from the start, so that the first change has a rate
PUBLISHES_REFUSED: Final = Counter(
    "x07_publishes_refused_total", "Publishes that were answered 503 because too many were in progress."
)


@contextmanager
def publish_stage(stage: Stage) -> Iterator[None]:
    """Time the body, and put a span around it."""
    begun = time.perf_counter()
    try:
        with span(f"publish.{stage}"):
            yield
    finally:
        STAGE_SECONDS.labels(stage).observe(time.perf_counter() - begun)
