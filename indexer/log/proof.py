"""Proofs that stand alone: entry, place and checkpoint in one text (c2sp.org/tlog-proof@v1). Pure."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from indexer.log.checkpoint import Checkpoint, open_checkpoint, require_cosigned
from indexer.log.invalid import LogInvalid
from indexer.log.note import VerifierKey
from indexer.log.tree import HASH_BYTES, check_inclusion, leaf_hash
from shared.verifier_keys import decode_base64

FORMAT: Final = "c2sp.org/tlog-proof@v1"
MAX_HASHES: Final = 63
_INDEX: Final = re.compile(r"index (0|[1-9][0-9]{0,18})")


@dataclass(frozen=True, slots=True)
class TlogProof:
    """Shows that a log has an entry at an index.

    entry: the entry's bytes, stored as the format's `extra`, so that the check needs nothing else.
    hashes: the audit path. checkpoint: the signed note.
    """

    entry: bytes
    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes

    def render(self) -> bytes:
        """The proof's text."""
        head = [FORMAT, f"extra {base64.b64encode(self.entry).decode()}", f"index {self.index}"]
        path = [base64.b64encode(step).decode() for step in self.hashes]
        return "\n".join([*head, *path, "", ""]).encode() + self.checkpoint

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """A proof from its text. Raises LogInvalid, also for one without the entry."""
        head, blank, checkpoint = body.partition(b"\n\n")
        try:
            lines = head.decode("ascii").split("\n")
        except UnicodeDecodeError:
            raise LogInvalid("the proof has a character that is not ASCII above its checkpoint") from None
        if not blank or lines[0] != FORMAT:
            raise LogInvalid(f"this is not a proof: its first line must be {FORMAT}")
        if len(lines) < 3 or not lines[1].startswith("extra "):
            raise LogInvalid("the proof has no `extra` line, in which this registry puts the entry")
        entry = decode_base64(lines[1].removeprefix("extra "))
        index = _INDEX.fullmatch(lines[2])
        if entry is None or index is None:
            raise LogInvalid("the `extra` or the `index` line of the proof is malformed")
        return cls(entry, int(index[1]), _hashes(lines[3:]), checkpoint)

    def check(
        self,
        keys: Sequence[VerifierKey],
        origin: str | None = None,
        witnesses: Sequence[VerifierKey] = (),
    ) -> Checkpoint:
        """The checkpoint whose tree has the entry. Raises LogInvalid.

        keys: the log's. witnesses: each of them must have cosigned the checkpoint.
        """
        checkpoint = open_checkpoint(self.checkpoint, keys, origin)
        require_cosigned(self.checkpoint, witnesses)
        check_inclusion(self.index, checkpoint.size, leaf_hash(self.entry), self.hashes, checkpoint.root)
        return checkpoint


def _hashes(lines: Sequence[str]) -> tuple[bytes, ...]:
    hashes = tuple(decoded for line in lines if (decoded := decode_base64(line)) is not None)
    if len(hashes) != len(lines) or len(hashes) > MAX_HASHES or any(len(one) != HASH_BYTES for one in hashes):
        raise LogInvalid("a hash of the proof is malformed")
    return hashes
