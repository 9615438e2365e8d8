"""Errors whose message is for the person at the command line."""

from __future__ import annotations


class StartFailed(Exception):
    """A process could not be started."""


class CommandFailed(Exception):
    """A command could not do its work."""
