"""Checkpoints: signed tree heads of a log (c2sp.org/tlog-checkpoint), and their cosignatures. Pure."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from indexer.log.invalid import LogInvalid
from indexer.log.note import Note, Signature, VerifierKey
from indexer.log.tree import HASH_BYTES
from shared.verifier_keys import COSIGNATURE, ED25519, decode_base64

_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_TIMESTAMP_BYTES: Final = 8
_SIGNATURE_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree head. origin: the log's name. size: entries in the log. root: 32 bytes."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def text(self) -> str:
        """The text of the note, which is signed."""
        lines = (self.origin, str(self.size), base64.b64encode(self.root).decode(), *self.extensions)
        return "".join(f"{line}\n" for line in lines)

    @classmethod
    def parse(cls, text: str) -> Self:
        """A tree head from a note's text. Raises LogInvalid."""
        lines = text.removesuffix("\n").split("\n")
        if len(lines) < 3 or not all(lines):
            raise LogInvalid("a checkpoint has three lines: origin, size and root")
        origin, size, encoded, *extensions = lines
        root = decode_base64(encoded)
        if not _SIZE.fullmatch(size) or root is None or len(root) != HASH_BYTES:
            raise LogInvalid("the size or the root of the checkpoint is malformed")
        return cls(origin, int(size), root, tuple(extensions))


def open_checkpoint(body: bytes, keys: Sequence[VerifierKey], origin: str | None = None) -> Checkpoint:
    """The tree head of a signed note. Raises LogInvalid unless one of the log's keys signed it.

    keys: of the log, of the kind ED25519. origin: the required first line; None: the name of the first
    key.
    """
    note = Note.parse(body)
    note.require_signed_by([key for key in keys if key.kind == ED25519])
    checkpoint = Checkpoint.parse(note.text)
    if checkpoint.origin != (origin or keys[0].name):
        raise LogInvalid(f"the checkpoint is of {checkpoint.origin}, not of {origin or keys[0].name}")
    return checkpoint


@dataclass(frozen=True, slots=True)
class Cosigned:
    """A witness's statement that it saw this tree head, consistent with earlier ones. timestamp: POSIX, s."""

    key: VerifierKey
    timestamp: int
    signature: Signature


def cosigned_by(note: Note, witnesses: Sequence[VerifierKey]) -> list[Cosigned]:
    """The cosignatures of these witnesses (c2sp.org/tlog-cosignature, Ed25519).

    Raises LogInvalid if a line names one of them and its signature does not verify. Other lines are ignored.
    """
    found: list[Cosigned] = []
    for signature in note.signatures:
        for key in witnesses:
            if signature.is_of(key):
                found.append(_cosigned(note, key, signature))
    return found


def require_cosigned(body: bytes, witnesses: Sequence[VerifierKey]) -> None:
    """Raise LogInvalid unless each of these witnesses cosigned the signed note."""
    found = {cosigned.key for cosigned in cosigned_by(Note.parse(body), witnesses)}
    if missing := [key.name for key in witnesses if key not in found]:
        raise LogInvalid(f"the checkpoint is not cosigned by {', '.join(missing)}")


def cosigned_message(timestamp: int, text: str) -> bytes:
    """The bytes that a witness signs. text: the text of the checkpoint's note."""
    return f"cosignature/v1\ntime {timestamp}\n{text}".encode()


def _cosigned(note: Note, key: VerifierKey, signature: Signature) -> Cosigned:
    stamp, raw = signature.signature[:_TIMESTAMP_BYTES], signature.signature[_TIMESTAMP_BYTES:]
    timestamp = int.from_bytes(stamp, "big")
    is_right = key.kind == COSIGNATURE and len(raw) == _SIGNATURE_BYTES and timestamp < 1 << 63
    if not is_right or not key.has_signed(cosigned_message(timestamp, note.text), raw):
        raise LogInvalid(f"the cosignature of {key.name} does not verify")
    return Cosigned(key, timestamp, signature)
