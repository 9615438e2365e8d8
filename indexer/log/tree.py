"""Merkle trees (RFC 6962, 2.1; RFC 9162, 2.1): hashes, roots, and the two kinds of proofs. Pure.

A proof is built from a `SubtreeHash`: a function that returns the hash of a complete subtree, so that the
same code works over leaves in memory and over tiles. Sizes and indexes are 0 or more; hashes are 32 bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Final

from indexer.log.invalid import LogInvalid

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = sha256(b"").digest()

SubtreeHash = Callable[[int, int], bytes]
"""Called with a height h and an index i: the hash of the leaves i * 2**h to (i + 1) * 2**h."""


def leaf_hash(entry: bytes) -> bytes:
    """The hash of an entry (RFC 9162, 2.1.1)."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees side by side."""
    return sha256(b"\x01" + left + right).digest()


def perfect_root(hashes: Sequence[bytes]) -> bytes:
    """The hash of a complete subtree of these nodes. hashes: a power of two of them."""
    level = list(hashes)
    while len(level) > 1:
        level = [node_hash(level[place], level[place + 1]) for place in range(0, len(level), 2)]
    return level[0]


def subtrees_in(leaves: Sequence[bytes]) -> SubtreeHash:
    """The complete subtrees over leaf hashes in memory."""

    def subtree(height: int, index: int) -> bytes:
        return perfect_root(leaves[index << height : (index + 1) << height])

    return subtree


def range_hash(start: int, end: int, subtree: SubtreeHash) -> bytes:
    """The Merkle tree hash of the leaves start to end. start: a multiple of the size's next power of two."""
    size = end - start
    if size == 0:
        return EMPTY_ROOT
    if size & (size - 1) == 0:
        height = size.bit_length() - 1
        return subtree(height, start >> height)
    middle = start + _split(size)
    return node_hash(range_hash(start, middle, subtree), range_hash(middle, end, subtree))


def root_hash(size: int, subtree: SubtreeHash) -> bytes:
    """The root of a tree of this size."""
    return range_hash(0, size, subtree)


def inclusion_proof(index: int, size: int, subtree: SubtreeHash) -> list[bytes]:
    """The audit path of a leaf, its sibling first (RFC 9162, 2.1.3.1). index: below size."""
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} entries has no entry {index}")
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(range_hash(middle, end, subtree))
            end = middle
        else:
            path.append(range_hash(start, middle, subtree))
            start = middle
    return path[::-1]


def consistency_proof(old: int, new: int, subtree: SubtreeHash) -> list[bytes]:
    """Proves that the tree of size new begins with the tree of size old (RFC 9162, 2.1.4.1).

    Empty if old is 0 or equal to new, because then there is nothing to prove.
    """
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {new} entries has no earlier tree of {old}")
    if old in (0, new):
        return []
    path: list[bytes] = []
    start, end, is_whole = 0, new, True
    while end != old:
        middle = start + _split(end - start)
        if old <= middle:
            path.append(range_hash(middle, end, subtree))
            end = middle
        else:
            path.append(range_hash(start, middle, subtree))
            start, is_whole = middle, False
    if not is_whole:
        path.append(range_hash(start, end, subtree))
    return path[::-1]


def check_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Raise LogInvalid unless the proof shows this leaf hash at this index (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        raise LogInvalid(f"a tree of {size} entries has no entry {index}")
    place, last, found = index, size - 1, leaf
    for step in proof:
        if last == 0:
            raise LogInvalid("the inclusion proof is too long")
        if place & 1 or place == last:
            found = node_hash(step, found)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            found = node_hash(found, step)
        place, last = place >> 1, last >> 1
    if last != 0:
        raise LogInvalid("the inclusion proof is too short")
    if found != root:
        raise LogInvalid(f"the inclusion proof of entry {index} does not lead to the root")


def check_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Raise LogInvalid unless the tree of size new begins with the tree of size old (RFC 9162, 2.1.4.2)."""
    if not 0 <= old <= new:
        raise LogInvalid(f"a tree of {new} entries has no earlier tree of {old}")
    if old == new and old_root != new_root:
        raise LogInvalid(f"there are two roots of size {old}")
    if old == 0 and old_root != EMPTY_ROOT:
        raise LogInvalid("the root of size 0 is not that of the empty tree")
    if old in (0, new):
        if proof:
            raise LogInvalid("the consistency proof must be empty")
    elif _walk_consistency(old, new, old_root, proof) != (old_root, new_root):
        raise LogInvalid(f"the tree of size {new} does not begin with the tree of size {old}")


def _walk_consistency(old: int, new: int, old_root: bytes, proof: Sequence[bytes]) -> tuple[bytes, bytes]:
    """The two roots that a proof between two sizes leads to. Raises LogInvalid if its length is wrong."""
    place, last = old - 1, new - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    # A tree of a power of two entries is itself a node of the new tree, so the proof leaves it out.
    steps = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not steps:
        raise LogInvalid("the consistency proof is too short")
    old_found = new_found = steps[0]
    for step in steps[1:]:
        if last == 0:
            raise LogInvalid("the consistency proof is too long")
        if place & 1 or place == last:
            old_found, new_found = node_hash(step, old_found), node_hash(step, new_found)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            new_found = node_hash(new_found, step)
        place, last = place >> 1, last >> 1
    if last != 0:
        raise LogInvalid("the consistency proof is too short")
    return old_found, new_found


def _split(size: int) -> int:
    """The greatest power of two below size, which is 2 or more: the leaves of the left subtree."""
    return 1 << (size - 1).bit_length() - 1
