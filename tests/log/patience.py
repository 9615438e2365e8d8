"""Makes commands wait a second, rather than ten, for storage and log to agree, as tampering never ends."""

from __future__ import annotations

from indexer.log import monitoring
from indexer.mirror import log_copy, log_walk, run
from indexer.upkeep import log_verification

PATIENCE_S = 1.0


def wait_briefly() -> None:
    """Shorten each wait; runs in the command's process before the command."""
    log_verification.LOGGED_WITHIN_S = PATIENCE_S
    monitoring.STALE_FOR_S = PATIENCE_S
    log_copy.STALE_FOR_S = PATIENCE_S
    log_walk.LATE_S = PATIENCE_S
    run.LATE_S = PATIENCE_S
