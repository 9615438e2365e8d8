"""Decides which of several trees of a package is the newest, and joins them. Pure.

Storage may be older than its copies: a worker that ran before a restore was complete has put the files of the
restored rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from indexer.entry import IndexEntry
from indexer.queries.rebuild import StoredPackage
from indexer.upkeep.restoration import Finding, Thing, TreePackage, advisories_of, lines_without_row


def merged(trees: Sequence[TreePackage], stored: StoredPackage) -> tuple[TreePackage, tuple[Finding, ...]]:
    """The package in the newest tree, with versions and owners that only another tree has.

    With it, what is in doubt: how the trees differ where none is known to be newer; then the first is taken.
    """
    newest, doubts = trees[0], list[Finding]()
    for other in trees[1:]:
        if _is_newer(other, newest, stored):
            newest, other = other, newest
        elif not _is_newer(newest, other, stored):
            doubts += _differences(newest, other)
        newest = _joined(newest, other)
    return newest, tuple(doubts)


def _is_newer(one: TreePackage, other: TreePackage, stored: StoredPackage) -> bool:
    """True if a tree is known to be newer: by its generation, or by versions that are nowhere else."""
    if one.generation and other.generation and one.generation != other.generation:
        return one.generation > other.generation
    mine, theirs = ({line.version for line in lines_without_row(each, stored)} for each in (one, other))
    return mine > theirs


def _joined(newer: TreePackage, older: TreePackage) -> TreePackage:
    listed = {line.version for line in newer.lines}
    return replace(
        newer,
        generation=max(newer.generation, older.generation),
        lines=(*newer.lines, *(line for line in older.lines if line.version not in listed)),
        owners=older.owners if newer.owners is None else newer.owners,
        published_at={**older.published_at, **newer.published_at},
    )


def _differences(tree: TreePackage, copy: TreePackage) -> Iterator[Finding]:
    """How the copies differ from storage in the versions that both have, and in the owners."""
    lines = {line.version: line for line in tree.lines}
    for line in copy.lines:
        ours = lines.get(line.version)
        if ours is not None and ours.cksum == line.cksum:
            yield from _differing_lines(ours, line)
    owners, copied = set(tree.owners or ()), set(copy.owners or ())
    for handle in sorted(owners ^ copied) if owners and copied else ():
        detail = f"{handle} is an owner only in {_side(handle in copied)}; nothing is changed"
        yield Finding(Thing.OWNER, False, tree.name, None, detail)


def _differing_lines(ours: IndexEntry, copied: IndexEntry) -> Iterator[Finding]:
    if ours.yanked != copied.yanked:
        detail = f"it is yanked only in {_side(copied.yanked)}; nothing is changed"
        yield Finding(Thing.YANK, False, ours.name, ours.version, detail)
    mine, theirs = ({advisory.id for advisory in advisories_of(line)} for line in (ours, copied))
    for advisory_id in sorted(mine ^ theirs):
        detail = f"{advisory_id} is in force only in {_side(advisory_id in theirs)}; nothing is changed"
        yield Finding(Thing.ADVISORY, False, ours.name, ours.version, detail)


def _side(is_copied: bool) -> str:
    return "the copies" if is_copied else "storage"
