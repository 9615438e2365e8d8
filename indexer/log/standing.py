"""Compares storage's checkpoint with the tree head in Postgres. The log grows only if they agree."""

from __future__ import annotations

from dataclasses import dataclass

from indexer.log.checkpoint import Checkpoint
from indexer.log.invalid import LogInvalid
from indexer.log.note import Note, VerifierKey
from indexer.queries.log import LogState
from shared.errors import LogDiverged
from shared.storage.interface import BlobInfo, Found, Missing, NotModified

RECOVER = "nothing is signed until `x07-registry log recover` has run"


@dataclass(frozen=True, slots=True)
class Published:
    """The checkpoint in storage. info, head: of its blob and its tree; None if there is none."""

    info: BlobInfo | None
    head: Checkpoint | None


def read_published(found: Found | NotModified | Missing, key: VerifierKey) -> Published:
    """The checkpoint in storage. key: of the log.

    Raises LogDiverged if it cannot be read, or if the key did not sign it: a worker with a wrong key would
    replace it by one that no client accepts.
    """
    if not isinstance(found, Found):
        return Published(None, None)
    try:
        note = Note.parse(found.body)
        head = Checkpoint.parse(note.text)
    except LogInvalid as error:
        raise LogDiverged(f"the checkpoint in storage cannot be read: {error}; {RECOVER}") from error
    if head.origin == key.name:  # another origin has another key; require_agreement tells
        try:
            note.require_signed_by([key])
        except LogInvalid as error:
            raise LogDiverged(f"X07_REGISTRY_LOG_KEY_B64 is not the key of the log: {error}") from error
    return Published(found.info, head)


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
