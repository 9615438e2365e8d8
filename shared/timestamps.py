"""Timestamps in the contract's form (1.8): RFC 3339, UTC, `Z`."""

from __future__ import annotations

from datetime import UTC, datetime


def render_timestamp(moment: datetime) -> str:
    """RFC 3339 text with `Z` and a fraction of 0, 3 or 6 digits, the fewest that hold the microseconds."""
    utc = moment.astimezone(UTC)
    microseconds = utc.microsecond
    if microseconds == 0:
        precision = "seconds"
    else:
        precision = "milliseconds" if microseconds % 1000 == 0 else "microseconds"
    return utc.replace(tzinfo=None).isoformat(timespec=precision) + "Z"
