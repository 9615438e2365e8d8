"""Decides how to restore the rows of a package from a published tree. Pure.

A restored database may be older than the tree. If the tree is newer, it is right, because it was made from
rows that are lost. If the rows are newer, they are right, and a worker publishes them. If neither can be
proven, nothing is changed, and the difference is reported for a person to decide.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from msgspec import UnsetType

from indexer.entry import IndexAdvisory, IndexEntry
from indexer.queries.rebuild import StoredPackage


class Thing(StrEnum):
    """The subject of a finding."""

    PACKAGE = "package"
    VERSION = "version"
    ARCHIVE = "archive"
    YANK = "yank"
    ADVISORY = "advisory"
    WITHDRAWAL = "withdrawal"
    OWNER = "owner"
    UPLOAD = "upload"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that the rows had lost. detail: text for people.

    is_back: it was restored from the tree. Otherwise it is in doubt, and a person decides.
    """

    thing: Thing
    is_back: bool
    package: str
    version: str | None
    detail: str


@dataclass(frozen=True, slots=True)
class TreePackage:
    """A package as a tree has it. generation: of its index file; 0 if unknown.

    owners: handles; None if unknown. published_at: UTC, of the versions whose time is known.
    """

    name: str
    generation: int
    lines: tuple[IndexEntry, ...]
    owners: tuple[str, ...] | None
    published_at: Mapping[str, datetime]

    @property
    def advisories(self) -> dict[str, IndexAdvisory]:
        """The advisories in force, by id."""
        return {advisory.id: advisory for line in self.lines for advisory in advisories_of(line)}


@dataclass(frozen=True, slots=True)
class Plan:
    """The changes to make to the rows of a package, and the findings to report."""

    versions: tuple[IndexEntry, ...]
    yanks: tuple[tuple[str, bool], ...]
    advisories: tuple[IndexAdvisory, ...]
    withdrawals: tuple[str, ...]
    new_owners: tuple[str, ...]
    former_owners: tuple[str, ...]
    is_behind: bool
    doubts: tuple[Finding, ...]

    @property
    def is_empty(self) -> bool:
        """True if no row has to change."""
        changes = (self.versions, self.yanks, self.advisories, self.withdrawals)
        return not (any(changes) or self.new_owners or self.former_owners or self.is_behind)

    def findings(self, name: str) -> Iterator[Finding]:
        """The findings: what is restored by carrying out the plan, then what is in doubt."""
        for line in self.versions:
            yield Finding(Thing.VERSION, True, name, line.version, "listed again")
        for version, yanked in self.yanks:
            detail = "yanked again" if yanked else "no longer yanked"
            yield Finding(Thing.YANK, True, name, version, detail)
        for advisory in self.advisories:
            yield Finding(Thing.ADVISORY, True, name, advisory.version, f"{advisory.id} is in force again")
        for advisory_id in self.withdrawals:
            yield Finding(Thing.WITHDRAWAL, True, name, None, f"advisory {advisory_id} is withdrawn again")
        for handle in self.new_owners:
            yield Finding(Thing.OWNER, True, name, None, f"{handle} is an owner again")
        for handle in self.former_owners:
            yield Finding(Thing.OWNER, True, name, None, f"{handle} is no owner any more")
        yield from self.doubts


class _Newer(StrEnum):
    """The side that is newer."""

    TREE = "tree"
    ROWS = "rows"
    NOBODY_KNOWS = "nobody knows"


def plan_of(tree: TreePackage, stored: StoredPackage, accounts: Collection[str]) -> Plan:
    """The plan that makes the rows of a package match the tree. accounts: handles that have a user."""
    newer = _newer(tree, stored)
    is_tree = newer is _Newer.TREE
    yanks = list(_differing_yanks(tree, stored))
    lost, withdrawn = _differing_advisories(tree, stored)
    lost_owners, former_owners = _differing_owners(tree, stored)
    doubts = [*_wrong_checksums(tree, stored)]
    if newer is not _Newer.ROWS:
        doubts += _unlisted(tree, stored, is_tree=is_tree)
    if is_tree:
        doubts += _missing_owners(tree, lost_owners, accounts)
    if newer is _Newer.NOBODY_KNOWS:
        doubts += _undecided(tree, yanks, lost, withdrawn, lost_owners, former_owners)
    return Plan(
        versions=tuple(lines_without_row(tree, stored)),
        yanks=tuple(yanks) if is_tree else (),
        advisories=tuple(lost) if is_tree else (),
        withdrawals=tuple(withdrawn) if is_tree else (),
        new_owners=tuple(handle for handle in lost_owners if handle in accounts) if is_tree else (),
        former_owners=tuple(former_owners) if is_tree else (),
        is_behind=tree.generation > stored.generation,
        doubts=tuple(doubts),
    )


def advisories_of(line: IndexEntry) -> tuple[IndexAdvisory, ...]:
    """The advisories of an index line."""
    return () if isinstance(line.advisories, UnsetType) else line.advisories


def _newer(tree: TreePackage, stored: StoredPackage) -> _Newer:
    """Which side is newer.

    A tree with a version that has no row is newer, because only removals delete rows.
    """
    if tree.generation > stored.generation or any(lines_without_row(tree, stored)):
        return _Newer.TREE
    if 0 < tree.generation < stored.generation:
        return _Newer.ROWS
    return _Newer.NOBODY_KNOWS


def lines_without_row(tree: TreePackage, stored: StoredPackage) -> Iterator[IndexEntry]:
    """The lines of versions that have no row and were not removed."""
    known = stored.versions.keys() | stored.removed
    return (line for line in tree.lines if line.version not in known)


def _differing_yanks(tree: TreePackage, stored: StoredPackage) -> Iterator[tuple[str, bool]]:
    """Versions whose yank differs, with the tree's value."""
    for line in tree.lines:
        row = stored.versions.get(line.version)
        if row is not None and row.cksum == line.cksum and row.yanked != line.yanked:
            yield line.version, line.yanked


def _differing_advisories(tree: TreePackage, stored: StoredPackage) -> tuple[list[IndexAdvisory], list[str]]:
    """Advisories that only the tree has, and advisories in force that only the rows have."""
    listed = {line.version for line in tree.lines}
    in_force = tree.advisories
    lost = [
        advisory
        for advisory in in_force.values()
        if advisory.id not in stored.advisories and advisory.version not in stored.removed
    ]
    withdrawn = [
        advisory_id
        for advisory_id, row in stored.advisories.items()
        if row.version in listed and not row.is_withdrawn and advisory_id not in in_force
    ]
    return lost, withdrawn


def _differing_owners(tree: TreePackage, stored: StoredPackage) -> tuple[list[str], list[str]]:
    """Owners that only the tree has, and those that only the rows have."""
    if tree.owners is None:
        return [], []
    return sorted(set(tree.owners) - stored.owners), sorted(stored.owners - set(tree.owners))


def _wrong_checksums(tree: TreePackage, stored: StoredPackage) -> Iterator[Finding]:
    for line in tree.lines:
        row = stored.versions.get(line.version)
        if row is not None and row.cksum != line.cksum:
            detail = f"its row has the checksum {row.cksum}, the tree {line.cksum}; the row is not changed"
            yield Finding(Thing.VERSION, False, tree.name, line.version, detail)


def _unlisted(tree: TreePackage, stored: StoredPackage, *, is_tree: bool) -> Iterator[Finding]:
    """Versions with a row that the tree does not list. Those that wait to be published do not count."""
    if not is_tree and not stored.is_clean:
        return
    why = "the tree does not list it"
    if is_tree:
        why = "the tree is newer and does not list it (`package remove-version` if it was removed)"
    for version in sorted(stored.versions.keys() - {line.version for line in tree.lines}):
        yield Finding(Thing.VERSION, False, tree.name, version, f"{why}; the row is not changed")


def _missing_owners(
    tree: TreePackage, lost_owners: Sequence[str], accounts: Collection[str]
) -> Iterator[Finding]:
    if tree.owners is None:
        yield Finding(Thing.OWNER, False, tree.name, None, "the tree does not name its owners")
    for handle in lost_owners:
        if handle not in accounts:
            yield Finding(Thing.OWNER, False, tree.name, None, f"{handle} owned it, but has no account here")


def _undecided(
    tree: TreePackage,
    yanks: Sequence[tuple[str, bool]],
    lost: Sequence[IndexAdvisory],
    withdrawn: Sequence[str],
    lost_owners: Sequence[str],
    former_owners: Sequence[str],
) -> Iterator[Finding]:
    """The differences when neither side is known to be newer; the rows are not changed."""

    def doubt(thing: Thing, version: str | None, detail: str) -> Finding:
        return Finding(thing, False, tree.name, version, f"{detail}; the row is not changed")

    for version, yanked in yanks:
        said = "yanked in the tree, not in its row" if yanked else "yanked in its row, not in the tree"
        yield doubt(Thing.YANK, version, said)
    for advisory in lost:
        yield doubt(Thing.ADVISORY, advisory.version, f"{advisory.id} is only in the tree")
    for advisory_id in withdrawn:
        yield doubt(Thing.WITHDRAWAL, None, f"advisory {advisory_id} is in force by its row, not in the tree")
    for handle in lost_owners:
        yield doubt(Thing.OWNER, None, f"{handle} is an owner in the tree, not in the rows")
    for handle in former_owners:
        yield doubt(Thing.OWNER, None, f"{handle} is an owner in the rows, not in the tree")
