"""Self-contained proofs: the text of c2sp.org/tlog-proof, and no part of one can be changed."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.log.checkpoint import Checkpoint
from indexer.log.invalid import LogInvalid
from indexer.log.note import NoteSigner
from indexer.log.proof import TlogProof
from indexer.log.tree import inclusion_proof, leaf_hash, root_hash, subtrees_in

SIGNER = NoteSigner("x07.example", bytes(range(32)))
KEYS = [SIGNER.verifier]


def proof_of(index: int, size: int, entry: bytes = b'{"name":"hello"}') -> TlogProof:
    """A proof for one of several entries."""
    leaves = [leaf_hash(str(place).encode()) for place in range(size)]
    leaves[index] = leaf_hash(entry)
    subtree = subtrees_in(leaves)
    checkpoint = SIGNER.sign(Checkpoint("x07.example", size, root_hash(size, subtree)).text())
    return TlogProof(entry, index, tuple(inclusion_proof(index, size, subtree)), checkpoint)


@given(st.integers(1, 40), st.binary(max_size=50), st.data())
def test_a_proof_is_read_back_and_verifies(size: int, entry: bytes, data: st.DataObject) -> None:
    """It needs nothing but the log's key."""
    index = data.draw(st.integers(0, size - 1))
    proof = proof_of(index, size, entry)
    assert TlogProof.parse(proof.render()) == proof
    assert proof.check(KEYS).size == size


def test_a_proof_has_the_lines_of_the_standard() -> None:
    """The first line, the entry, the index, the path, an empty line, the unchanged checkpoint."""
    proof = proof_of(5, 7)
    lines = proof.render().decode().split("\n")
    assert lines[0] == "c2sp.org/tlog-proof@v1"
    assert base64.b64decode(lines[1].removeprefix("extra ")) == b'{"name":"hello"}'
    assert lines[2] == "index 5"
    assert lines[3 + len(proof.hashes)] == ""
    assert proof.render().endswith(b"\n\n" + proof.checkpoint)


def test_a_proof_of_something_else_is_refused() -> None:
    """It is of another entry, another index or another log."""
    proof = proof_of(5, 7)
    others = [
        TlogProof(b"other", proof.index, proof.hashes, proof.checkpoint),
        TlogProof(proof.entry, 4, proof.hashes, proof.checkpoint),
        TlogProof(proof.entry, proof.index, proof.hashes[:-1], proof.checkpoint),
        TlogProof(proof.entry, proof.index, proof.hashes, proof_of(5, 8).checkpoint),
    ]
    for other in others:
        with pytest.raises(LogInvalid):
            other.check(KEYS)
    with pytest.raises(LogInvalid, match="not signed"):
        proof.check([NoteSigner("x07.example", bytes(32)).verifier])


@given(st.data())
def test_no_byte_of_a_proof_can_be_changed(data: st.DataObject) -> None:
    """A proof with any other byte is refused."""
    body = bytearray(proof_of(5, 7).render())
    place = data.draw(st.integers(0, len(body) - 1))
    body[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(LogInvalid):
        TlogProof.parse(bytes(body)).check(KEYS)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"@v1", b"@v2"),
        (b"extra ", b"extra"),
        (b"index 5", b"index 05"),
        (b"index 5\n", b""),
        (b"\n\n", b"\nAAAA\n\n"),
        (b"\n\n", b"\n"),
    ],
)
def test_a_malformed_proof_is_refused(old: bytes, new: bytes) -> None:
    """The message says what is wrong."""
    with pytest.raises(LogInvalid):
        TlogProof.parse(proof_of(5, 7).render().replace(old, new, 1)).check(KEYS)
