"""Compares storage's checkpoint with the tree head in Postgres. The log grows only if they agree."""

from __future__ import annotations

from dataclasses import dataclass

from indexer.log.checkpoint import Checkpoint
from indexer.log.invalid import LogInvalid
from indexer.log.note import Note
from indexer.queries.log import LogState
from shared.errors import LogDiverged
from shared.storage.interface import BlobInfo, Found, Missing, NotModified

RECOVER = "nothing is signed until `x07-registry log recover` has run"


@dataclass(frozen=True, slots=True)
class Published:
    """The checkpoint in storage. info, head: of its blob and its tree; None if there is none."""

    info: BlobInfo | None
    head: Checkpoint | None


def read_published(found: Found | NotModified | Missing) -> Published:
    """The checkpoint in storage; its signature is not verified. Raises LogDiverged if it cannot be read."""
    if not isinstance(found, Found):
        return Published(None, None)
    try:
        return Published(found.info, Checkpoint.parse(Note.parse(found.body).text))
    except LogInvalid as error:
        raise LogDiverged(f"the checkpoint in storage cannot be read: {error}; {RECOVER}") from error


def require_agreement(state: LogState | None, published: Published, origin: str) -> bool:
    """True if storage has the checkpoint of this tree head; False if the checkpoint still has to be put.

    Raises LogDiverged otherwise: the database or storage was restored from a backup or emptied, or the
    origin differs.
    """
    head = published.head
    if state is None:
        if head is not None:
            raise LogDiverged(f"storage has a log of {head.size} entries, the database has none; {RECOVER}")
        return False
    if state.origin != origin:
        raise LogDiverged(f"the log is called {state.origin}; set X07_REGISTRY_LOG_ORIGIN to that")
    if head is None:
        if state.size:
            raise LogDiverged(f"storage has no checkpoint for {state.size} entries; {RECOVER}")
        return False
    if head.origin != origin:
        raise LogDiverged(f"the checkpoint in storage is of {head.origin}, not of {origin}")
    if (head.size, head.root) == (state.size, state.root):
        return True
    if (head.size, head.root) == state.previous:
        return False
    if head.size > state.size:
        raise LogDiverged(
            f"storage has a log of {head.size} entries, the database one of {state.size}; {RECOVER}"
        )
    raise LogDiverged(
        f"storage has another log, of {head.size} entries, than the database, of {state.size}; {RECOVER}"
    )
