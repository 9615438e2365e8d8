"""Merkle trees: the vectors of RFC 6962's reference implementation, the example of RFC 9162, and laws."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.log.invalid import LogInvalid
from indexer.log.tree import (
    EMPTY_ROOT,
    check_consistency,
    check_inclusion,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_hash,
    subtrees_in,
)

# The inputs, roots and proofs with which every implementation of RFC 6962 is tested.
INPUTS = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
INCLUSION = {
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (1, 5): [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
CONSISTENCY = {
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
LEAVES = [leaf_hash(entry) for entry in INPUTS]

sizes = st.integers(0, 70)


def leaves_of(size: int) -> list[bytes]:
    """This many different leaf hashes."""
    return [leaf_hash(str(index).encode()) for index in range(size)]


@pytest.mark.parametrize("size", range(9))
def test_roots_are_those_of_rfc_6962(size: int) -> None:
    """From the empty tree to eight leaves."""
    assert root_hash(size, subtrees_in(LEAVES)).hex() == ROOTS[size]


@pytest.mark.parametrize(("place", "expected"), INCLUSION.items())
def test_inclusion_proofs_are_those_of_rfc_6962(place: tuple[int, int], expected: list[str]) -> None:
    """An index and a size give exactly this path, which verifies."""
    index, size = place
    proof = inclusion_proof(index, size, subtrees_in(LEAVES))
    assert [step.hex() for step in proof] == expected
    check_inclusion(index, size, LEAVES[index], proof, bytes.fromhex(ROOTS[size]))


@pytest.mark.parametrize(("place", "expected"), CONSISTENCY.items())
def test_consistency_proofs_are_those_of_rfc_6962(place: tuple[int, int], expected: list[str]) -> None:
    """Two sizes give exactly these hashes, which verify."""
    old, new = place
    proof = consistency_proof(old, new, subtrees_in(LEAVES))
    assert [step.hex() for step in proof] == expected
    check_consistency(old, new, bytes.fromhex(ROOTS[old]), bytes.fromhex(ROOTS[new]), proof)


def test_the_example_of_rfc_9162_has_its_nodes() -> None:
    """Section 2.1.5: seven leaves, whose nodes are named a to l."""
    a, b, c, d, e, f, j = leaves_of(7)
    g, h, i = node_hash(a, b), node_hash(c, d), node_hash(e, f)
    k, el = node_hash(g, h), node_hash(i, j)
    subtree = subtrees_in([a, b, c, d, e, f, j])
    assert root_hash(7, subtree) == node_hash(k, el)
    assert inclusion_proof(0, 7, subtree) == [b, h, el]
    assert inclusion_proof(3, 7, subtree) == [c, g, el]
    assert inclusion_proof(4, 7, subtree) == [f, j, k]
    assert inclusion_proof(6, 7, subtree) == [i, k]
    assert consistency_proof(3, 7, subtree) == [c, d, g, el]
    assert consistency_proof(4, 7, subtree) == [el]
    assert consistency_proof(6, 7, subtree) == [i, j, k]


@given(sizes.filter(bool), st.data())
def test_every_entry_has_a_proof_that_verifies_nowhere_else(size: int, data: st.DataObject) -> None:
    """It fails at another index, for another leaf, and with a hash more, fewer or different."""
    index = data.draw(st.integers(0, size - 1))
    leaves = leaves_of(size)
    subtree = subtrees_in(leaves)
    root, proof = root_hash(size, subtree), inclusion_proof(index, size, subtree)
    check_inclusion(index, size, leaves[index], proof, root)
    wrong = [
        (index + 1, leaves[index], proof),
        (index - 1, leaves[index], proof),
        (index, leaf_hash(b"other"), proof),
        (index, leaves[index], [*proof, root]),
        (index, leaves[index], [root, *proof]),
    ]
    if proof:
        place = data.draw(st.integers(0, len(proof) - 1))
        wrong += [
            (index, leaves[index], proof[:-1]),
            (index, leaves[index], [*proof[:place], root, *proof[place + 1 :]]),
        ]
    for wrong_index, leaf, path in wrong:
        with pytest.raises(LogInvalid):
            check_inclusion(wrong_index, size, leaf, path, root)


@given(sizes, sizes, st.data())
def test_a_tree_is_consistent_with_each_earlier_one_and_no_other(
    one: int, other: int, data: st.DataObject
) -> None:
    """The check fails with another root, and with a hash more, fewer or different."""
    old, new = sorted((one, other))
    subtree = subtrees_in(leaves_of(new))
    old_root, new_root = root_hash(old, subtree), root_hash(new, subtree)
    proof = consistency_proof(old, new, subtree)
    check_consistency(old, new, old_root, new_root, proof)
    fork = leaf_hash(b"fork")
    wrong = [(fork, new_root, proof), (old_root, new_root, [*proof, fork])]
    if old:  # every tree begins with the empty tree
        wrong.append((old_root, fork, proof))
    if proof:
        place = data.draw(st.integers(0, len(proof) - 1))
        wrong += [
            (old_root, new_root, proof[:-1]),
            (old_root, new_root, [*proof[:place], fork, *proof[place + 1 :]]),
        ]
    for claimed_old, claimed_new, path in wrong:
        with pytest.raises(LogInvalid):
            check_consistency(old, new, claimed_old, claimed_new, path)


def test_a_fork_has_no_proof() -> None:
    """Two trees with one different early entry are not consistent by the proof of either."""
    ours, theirs = leaves_of(20), leaves_of(20)
    theirs[3] = leaf_hash(b"other")
    old_root = root_hash(10, subtrees_in(ours))
    for leaves in (ours, theirs):
        proof = consistency_proof(10, 20, subtrees_in(leaves))
        with pytest.raises(LogInvalid):
            check_consistency(10, 20, old_root, root_hash(20, subtrees_in(theirs)), proof)


def test_sizes_that_cannot_be_are_refused() -> None:
    """A log does not shrink, and entries beyond its end have no proof."""
    with pytest.raises(LogInvalid):
        check_consistency(2, 1, EMPTY_ROOT, EMPTY_ROOT, [])
    with pytest.raises(LogInvalid):
        check_consistency(0, 5, leaf_hash(b""), EMPTY_ROOT, [])
    with pytest.raises(LogInvalid):
        check_consistency(0, 0, EMPTY_ROOT, leaf_hash(b""), [])
    with pytest.raises(LogInvalid):
        check_inclusion(0, 0, EMPTY_ROOT, [], EMPTY_ROOT)
    with pytest.raises(ValueError, match="no entry 3"):
        inclusion_proof(3, 3, subtrees_in(LEAVES))
    with pytest.raises(ValueError, match="no earlier tree of 4"):
        consistency_proof(4, 3, subtrees_in(LEAVES))
