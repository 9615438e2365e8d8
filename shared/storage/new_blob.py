"""A blob that is about to be put into a directory, and the condition of a change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from shared.storage.attributes import Attributes


@dataclass(frozen=True, slots=True)
class Condition:
    """The condition of a change: no blob has the key, or the blob has this revision or no newer generation.

    None: this is not required.
    """

    only_if_absent: bool = False
    if_revision: str | None = None
    not_newer_than: int | None = None


UNCONDITIONAL: Final = Condition()


@dataclass(frozen=True, slots=True)
class NewBlob:
    """A blob to put."""

    key: str
    body: bytes
    attributes: Attributes
    condition: Condition
