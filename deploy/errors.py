"""The error of a process that cannot start."""

from __future__ import annotations


class StartFailed(Exception):
    """A process could not be started. The message is for the person at the command line."""
