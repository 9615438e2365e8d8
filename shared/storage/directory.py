"""Keeps blobs as files below one root: the synchronous half of the file system store. Raises OSError.

A blob is written to a temporary file on the same file system, with its digest and generation as an
extended attribute, flushed to disk, and renamed into place; then the folder is flushed. Readers see the
old blob or the new one, and a digest always belongs to its body. A conditional change compares and
renames under a lock that other processes respect, too (replacement_locks.py). Changes are generators
(flushing.py), so that many can wait for the disk together.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from shared.blobs import STAGING_PREFIX
from shared.errors import StorageFailed
from shared.storage.attributes import Attributes, read_attributes
from shared.storage.blob_files import BlobFiles, require_whole, revision_of
from shared.storage.durable import opened, seal, write_all, write_from
from shared.storage.flushing import FLUSHES_AT_ONCE, NAMES_SO_FAR, Unflushed, Writing, run_together
from shared.storage.keys import TEMPORARY
from shared.storage.leftovers import UNNAMED, remove_leftovers, touched_at
from shared.storage.new_blob import UNCONDITIONAL, Condition, NewBlob
from shared.storage.one_tree import what_is_apart
from shared.storage.os_errors import ABSENT, mapped_os_errors
from shared.storage.replacement_locks import ReplacementLocks

CREATE_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL
BlobChange = Callable[[Unflushed], Writing[Any]]
NO_HARD_LINKS: Final = frozenset({errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.EXDEV})


class Directory(BlobFiles):
    """A tree of blobs. Keys are checked by the caller; safe to use from several threads."""

    def __init__(self, root: Path) -> None:
        """root: created by the first write."""
        super().__init__(root)
        self._locks = ReplacementLocks(self._folders.root)
        self._flushers = ThreadPoolExecutor(FLUSHES_AT_ONCE, thread_name_prefix="flush")

    def change(self, changes: Sequence[BlobChange]) -> list[Any]:
        """Make changes durably. Returns the result of each, or the RegistryError that it failed with.

        All are written before the first flush, and each folder is flushed once.
        """
        unflushed = Unflushed()
        outcomes = run_together(self._flushers, [change(unflushed) for change in changes], unflushed)
        with mapped_os_errors():
            unflushed.flush(self._flushers)
        self._folders.settle(unflushed.made)
        return outcomes

    def put(
        self, key: str, body: bytes, attributes: Attributes, condition: Condition, unflushed: Unflushed
    ) -> Writing[bool]:
        """A change: write the blob. False: the condition does not hold."""
        with self._written(body, attributes, unflushed) as (temporary, descriptor):
            yield (descriptor,)
            return self._place(temporary, key, unflushed, condition)

    def put_in_order(
        self,
        links: Sequence[tuple[str, str]],
        first: Sequence[NewBlob],
        then: Sequence[NewBlob],
        unflushed: Unflushed,
    ) -> Writing[bool]:
        """A change: link sources to targets and put the first blobs; once these are on disk, put the others.

        False: a condition does not hold, or links are impossible here. What was done until then stays.
        """
        with ExitStack() as stack:
            early, late = (
                [stack.enter_context(self._written(new.body, new.attributes, unflushed)) for new in blobs]
                for blobs in (first, then)
            )
            yield [descriptor for _, descriptor in (*early, *late)]
            if not all(self._linked(source, target, unflushed) for source, target in links):
                return False
            if not self._placed(early, first, unflushed):
                return False
            yield NAMES_SO_FAR
            return self._placed(late, then, unflushed)

    def put_file(
        self, key: str, path: Path, attributes: Attributes, condition: Condition, unflushed: Unflushed
    ) -> Writing[bool]:
        """A change: move the file to the key, or copy its bytes if it is on another file system.

        False: the condition does not hold.
        """
        with opened(path, os.O_RDONLY) as source:
            seal(source, attributes)
            yield (source,)
            try:
                return self._place(path, key, unflushed, condition)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                return (yield from self._put_bytes_of(source, key, attributes, unflushed, condition))

    def copy(self, source: str, target: str, condition: Condition, unflushed: Unflushed) -> Writing[bool]:
        """A change: make target a hard link of source, or a copy where links are impossible.

        The only condition allowed is only_if_absent. False: there is no source, or there is a target.
        """
        with self._opened(source) as file:
            if file is None:
                return False
            descriptor, state = file
            require_whole(source, descriptor, state)
            try:
                path, name = self._folders.path(source), self._name(target, unflushed)
                if _is_linked(path, name):
                    return True
                with self._temporary(unflushed) as temporary:
                    os.link(path, temporary, follow_symlinks=False)
                    return self._renamed(temporary, target, name, condition)
            except FileNotFoundError:
                return False
            except OSError as error:
                if error.errno not in NO_HARD_LINKS:
                    raise
            info = self._info(source, descriptor, state)
            attributes = Attributes(info.digest, info.identity_digest, info.generation)
            return (yield from self._put_bytes_of(descriptor, target, attributes, unflushed, condition))

    def delete(self, key: str, condition: Condition, unflushed: Unflushed) -> Writing[bool]:
        """A change: remove the blob; absence is not an error. False: the condition does not hold."""
        path = self._folders.path(key)
        yield from ()
        try:
            with self._comparing(key, condition) as is_so:
                if not is_so:
                    return False
                os.unlink(path)
        except OSError as error:
            if error.errno in ABSENT:
                return condition == UNCONDITIONAL
            raise
        if not key.startswith(STAGING_PREFIX):
            # A staged file that is back after a power cut is garbage: no row names it (docs/decisions/0036).
            unflushed.folders.add(os.path.dirname(path))
        return True

    def now(self) -> float:
        """The time by the file system's clock, in seconds since the epoch. Needs no space on the disk."""
        return touched_at(Path(self._folders.root))

    def check(self) -> None:
        """Raise unless the root can be read, and its folders are on its own file system."""
        with os.scandir(self._folders.root) as entries:
            next(entries, None)
        if wrong := what_is_apart(Path(self._folders.root)):
            raise StorageFailed(wrong)

    def create(self) -> None:
        """Create the root durably."""
        unflushed = Unflushed()
        self._folders.make(self._folders.root, unflushed)
        unflushed.flush(self._flushers)

    def sweep_temporary(self, older_than_s: float) -> int:
        """Remove unfinished files that were not touched for this long. Returns how many there were."""
        return remove_leftovers(Path(self._folders.root, TEMPORARY), older_than_s)

    @contextmanager
    def _comparing(self, key: str, condition: Condition) -> Iterator[bool]:
        """True if the condition holds; it then holds until the end of the block."""
        if condition == UNCONDITIONAL:
            yield True
            return
        with self._locks.held(key):
            yield self._holds(key, condition)

    def _holds(self, key: str, condition: Condition) -> bool:
        with self._opened(key) as file:
            if file is None:
                return condition.if_revision is None
            descriptor, state = file
            generation = read_attributes(descriptor).attributes.generation
        if condition.not_newer_than is not None and generation > condition.not_newer_than:
            return False
        return not condition.only_if_absent and condition.if_revision in (None, revision_of(state))

    def _put_bytes_of(
        self,
        source: int,
        key: str,
        attributes: Attributes,
        unflushed: Unflushed,
        condition: Condition,
    ) -> Writing[bool]:
        """Write a blob from an open file, read from its start. False: the condition does not hold."""
        with self._temporary(unflushed) as temporary:
            with opened(temporary, CREATE_FLAGS) as descriptor:
                write_from(descriptor, source)
                seal(descriptor, attributes)
                yield (descriptor,)
            return self._place(temporary, key, unflushed, condition)

    @contextmanager
    def _temporary(self, unflushed: Unflushed) -> Iterator[str]:
        """An unused name on the root's file system. A file that still has it at the end is removed."""
        folder = os.path.join(self._folders.root, TEMPORARY)
        self._folders.make(folder, unflushed)
        path = os.path.join(folder, f"{UNNAMED}{uuid4().hex}")
        try:
            yield path
        finally:
            with suppress(FileNotFoundError):
                os.unlink(path)

    @contextmanager
    def _written(
        self, body: bytes, attributes: Attributes, unflushed: Unflushed
    ) -> Iterator[tuple[str, int]]:
        """A finished file without a name of its own yet, and its descriptor."""
        with self._temporary(unflushed) as temporary, opened(temporary, CREATE_FLAGS) as descriptor:
            write_all(descriptor, body)
            seal(descriptor, attributes)
            yield temporary, descriptor

    def _placed(
        self, written: Sequence[tuple[str, int]], blobs: Sequence[NewBlob], unflushed: Unflushed
    ) -> bool:
        """Give finished files their names, until a condition does not hold. False: one does not."""
        return all(
            self._place(temporary, new.key, unflushed, new.condition)
            for (temporary, _), new in zip(written, blobs, strict=True)
        )

    def _linked(self, source: str, target: str, unflushed: Unflushed) -> bool:
        """Link a whole blob to a target that is free. False: it is not, or there is no source, or no link."""
        with self._opened(source) as file:
            if file is None:
                return False
            require_whole(source, *file)
            try:
                return _is_linked(self._folders.path(source), self._name(target, unflushed))
            except FileNotFoundError:
                return False

    def _place(self, temporary: str | Path, key: str, unflushed: Unflushed, condition: Condition) -> bool:
        """Give a finished file its name. False: the condition does not hold."""
        name = self._name(key, unflushed)
        if condition.only_if_absent and _is_linked(temporary, name):
            return True
        return self._renamed(temporary, key, name, condition)

    def _renamed(self, temporary: str | Path, key: str, name: str, condition: Condition) -> bool:
        """Rename a finished file to the name of a key. False: the condition does not hold."""
        with self._comparing(key, condition) as is_so:
            if is_so:
                os.rename(temporary, name)
        return is_so

    def _name(self, key: str, unflushed: Unflushed) -> str:
        """The path for a key that is about to be put; its folder is created."""
        path = self._folders.path(key)
        folder = os.path.dirname(path)
        self._folders.make(folder, unflushed)
        # This also flushes a rival's name: a caller that hears that the blob exists relies on it.
        unflushed.folders.add(folder)
        return path


def _is_linked(file: str | Path, target: str) -> bool:
    """Link the file to the name in one step; True on success.

    False if the file system has no hard links, or anything has the name already, even if it is no blob.
    """
    try:
        os.link(file, target, follow_symlinks=False)
    except OSError as error:
        if error.errno == errno.EEXIST or error.errno in NO_HARD_LINKS:
            return False
        raise
    return True
