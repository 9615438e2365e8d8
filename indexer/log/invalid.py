"""The error that checks of a log raise."""

from __future__ import annotations


class LogInvalid(ValueError):
    """A log's file is malformed, or what it claims does not hold. The message says what and where."""
