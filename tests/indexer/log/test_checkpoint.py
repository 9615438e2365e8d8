"""Checkpoints: the standard's format, the accepted signers, and cosignatures of witnesses."""

from __future__ import annotations

import pytest
from nacl.signing import SigningKey

from indexer.log.checkpoint import Checkpoint, cosigned_by, cosigned_message, open_checkpoint
from indexer.log.invalid import LogInvalid
from indexer.log.note import Note, NoteSigner, Signature, VerifierKey
from indexer.log.tree import EMPTY_ROOT
from shared.verifier_keys import COSIGNATURE

SIGNER = NoteSigner("x07.example", bytes(range(32)))
KEYS = [SIGNER.verifier]
HEAD = Checkpoint("x07.example", 20_852_163, bytes(range(32)))
WITNESS_SEED = SigningKey(bytes(32))
WITNESS = VerifierKey("witness.example/w1", bytes(WITNESS_SEED.verify_key), COSIGNATURE)
TEXT = """example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
"""


def cosigned(note: Note, timestamp: int, message: bytes | None = None) -> Note:
    """The note with a line of the witness."""
    raw = WITNESS_SEED.sign(message or cosigned_message(timestamp, note.text)).signature
    line = Signature(WITNESS.name, WITNESS.key_id, timestamp.to_bytes(8, "big") + raw)
    return Note(note.text, (*note.signatures, line))


def test_the_example_of_the_standard_is_read_and_written() -> None:
    """Three lines."""
    head = Checkpoint.parse(TEXT)
    assert (head.origin, head.size, len(head.root)) == ("example.com/behind-the-sofa", 20_852_163, 32)
    assert head.text() == TEXT


def test_a_signed_checkpoint_is_opened_with_the_logs_key() -> None:
    """This includes the empty log's."""
    for head in (
        HEAD,
        Checkpoint("x07.example", 0, EMPTY_ROOT),
        Checkpoint("x07.example", 1, b"x" * 32, ("e",)),
    ):
        assert open_checkpoint(SIGNER.sign(head.text()), KEYS) == head


def test_a_checkpoint_of_another_log_or_key_is_refused() -> None:
    """It is refused even if a known key signed it, or if it names the right log."""
    with pytest.raises(LogInvalid, match=r"is of other\.example"):
        open_checkpoint(SIGNER.sign(Checkpoint("other.example", 1, bytes(32)).text()), KEYS)
    with pytest.raises(LogInvalid, match="not signed"):
        open_checkpoint(NoteSigner("x07.example", bytes(32)).sign(HEAD.text()), KEYS)


@pytest.mark.parametrize(
    "text",
    [
        "x07.example\n1\n",
        "x07.example\n01\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "x07.example\n-1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "x07.example\n1\nAAAA\n",
        "x07.example\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n",
        "\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "x07.example\n\u0661\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
    ],
)
def test_a_malformed_tree_head_is_refused(text: str) -> None:
    """It is refused even if it is signed."""
    with pytest.raises(LogInvalid):
        open_checkpoint(SIGNER.sign(text), KEYS)


def test_a_witness_is_believed_about_this_very_tree_head() -> None:
    """Its line does not change the log's own signature."""
    note = cosigned(Note.parse(SIGNER.sign(HEAD.text())), 1_679_315_147)
    assert open_checkpoint(note.render(), KEYS) == HEAD
    [found] = cosigned_by(note, [WITNESS])
    assert (found.key, found.timestamp) == (WITNESS, 1_679_315_147)
    assert cosigned_by(note, []) == []


def test_a_cosignature_that_does_not_verify_is_refused() -> None:
    """It is of another text, of another time, or a plain signature."""
    note = Note.parse(SIGNER.sign(HEAD.text()))
    for message in (cosigned_message(5, "other\n"), cosigned_message(6, note.text), note.text.encode()):
        with pytest.raises(LogInvalid, match="cosignature of witness"):
            cosigned_by(cosigned(note, 5, message), [WITNESS])
