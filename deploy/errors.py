"""What keeps a process from starting."""

from __future__ import annotations


class StartFailed(Exception):
    """Something could not be started; the message is for the person at the command line."""
