"""What a disk may hold after a power cut: a model of a file system that keeps only what was synced.

The model is stricter than ext4 or xfs. A name that was added or removed is certain only once its folder was
synced, and each name may be lost apart from all others. The bytes and attributes of a file are certain only
once the file itself was synced; before that they may be missing, cut short or zeros.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of a file and its attribute `user.x07`, if it has one."""

    body: bytes
    attribute: bytes | None = None


EMPTY = Content(b"")


@dataclass(frozen=True, slots=True)
class FolderMade:
    """A folder got its name. path: below the root."""

    path: str


@dataclass(frozen=True, slots=True)
class Named:
    """A name leads to a file from now on. content: what the file holds at this moment, synced or not."""

    path: str
    inode: int
    content: Content


@dataclass(frozen=True, slots=True)
class Unnamed:
    """A name was removed."""

    path: str


@dataclass(frozen=True, slots=True)
class FileSynced:
    """A file's bytes and attribute are on disk. path: what it was called, for people."""

    path: str
    inode: int
    content: Content


@dataclass(frozen=True, slots=True)
class FolderSynced:
    """The names in a folder are on disk."""

    path: str


@dataclass(frozen=True, slots=True)
class Committed:
    """A transaction of the database is durable. rows: every table after it, as JSON."""

    rows: str


Event = FolderMade | Named | Unnamed | FileSynced | FolderSynced | Committed
Change = tuple[str, int | None]


@dataclass(slots=True)
class Disk:
    """What is certain, and what is not yet. names: the inode of each path; folders have inode 0."""

    names: dict[str, int] = field(default_factory=lambda: {"": 0})
    unsure: dict[str, list[Change]] = field(default_factory=dict)
    synced: dict[int, Content] = field(default_factory=dict)
    current: dict[int, Content] = field(default_factory=dict)
    rows: str = ""

    def apply(self, event: Event) -> None:
        """Note what happened."""
        match event:
            case FolderMade(path):
                self._change(path, 0)
            case Named(path, inode, content):
                self.current[inode] = content
                self._change(path, inode)
            case Unnamed(path):
                self._change(path, None)
            case FileSynced(_, inode, content):
                self.current[inode] = self.synced[inode] = content
            case FolderSynced(path):
                self._settle(self.unsure.pop(path, ()))
            case Committed(rows):
                self.rows = rows

    def after_power_cut(self, chance: random.Random) -> dict[str, Content]:
        """The files that are left, by path, when some of what was not synced is lost."""
        names = dict(self.names)
        for changes in self.unsure.values():
            for path, inode in _kept(changes, chance):
                if inode is None:
                    names.pop(path, None)
                else:
                    names[path] = inode
        files = {path: inode for path, inode in names.items() if inode and _reached(path, names)}
        return {path: self._left(inode, chance) for path, inode in files.items()}

    def _left(self, inode: int, chance: random.Random) -> Content:
        """What is left of a file."""
        now, synced = self.current.get(inode, EMPTY), self.synced.get(inode, EMPTY)
        if now == synced:
            return now
        half = now.body[: len(now.body) // 2]
        body = chance.choice((synced.body, b"", half, half.ljust(len(now.body), b"\0"), now.body))
        return Content(body, chance.choice((synced.attribute, now.attribute)))

    def _change(self, path: str, inode: int | None) -> None:
        self.unsure.setdefault(_folder(path), []).append((path, inode))

    def _settle(self, changes: Iterable[Change]) -> None:
        for path, inode in changes:
            if inode is None:
                self.names.pop(path, None)
            else:
                self.names[path] = inode


def cut_after(events: Sequence[Event], end: int, chance: random.Random) -> tuple[str, dict[str, Content]]:
    """Rows and files when the power was cut after the first `end` events."""
    disk = Disk()
    for event in events[:end]:
        disk.apply(event)
    return disk.rows, disk.after_power_cut(chance)


def _kept(changes: Sequence[Change], chance: random.Random) -> Sequence[Change]:
    """The changes of a folder that reached the disk: none, all, the first ones, or any."""
    match chance.randrange(4):
        case 0:
            return ()
        case 1:
            return changes
        case 2:
            return changes[: chance.randrange(len(changes) + 1)]
        case _:
            return [change for change in changes if chance.random() < 0.5]


def _reached(path: str, names: Mapping[str, int]) -> bool:
    """True if every folder on the way to the path is there."""
    return all(
        names.get("" if str(parent) == "." else str(parent)) == 0 for parent in PurePosixPath(path).parents
    )


def _folder(path: str) -> str:
    return path.rpartition("/")[0]
