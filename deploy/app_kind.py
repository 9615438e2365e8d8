"""The kinds of HTTP processes. This is not in deploy/serve.py, which is slow to import."""

from __future__ import annotations

from enum import StrEnum


class AppKind(StrEnum):
    """The tier, or both on one address."""

    WRITE = "write"
    READ = "read"
    ALL = "all"
