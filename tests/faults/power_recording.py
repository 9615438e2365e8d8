"""Records what a registry in this process asks of its disk and database, in one order.

The calls of the operating system that change names or sync are replaced while a recording lasts. Each is made
and recorded under one lock. A commit holds the same lock, so that no call lies between a commit and its rows.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import stat
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from shared.database import Database
from shared.statements import Connection
from shared.storage.attributes import ATTRIBUTE
from tests.faults.power_disk import (
    Committed,
    Content,
    Event,
    FileSynced,
    FolderMade,
    FolderSynced,
    Named,
    Unnamed,
)

Rows = Callable[[], Awaitable[str]]
CREATES = os.O_CREAT | os.O_EXCL


class Recorder:
    """The recording of one directory. rows: reads every table, as JSON."""

    def __init__(self, root: Path, rows: Rows) -> None:
        self.events: list[Event] = []
        self._root = f"{root}/"
        self._rows = rows
        self._lock = threading.RLock()
        self._commits = asyncio.Lock()
        self._inodes: dict[tuple[int, int], int] = {}
        self._numbers = itertools.count(1)
        self._real = {
            name: getattr(os, name) for name in ("open", "mkdir", "rename", "link", "unlink", "fsync")
        }

    @contextmanager
    def running(self) -> Iterator[None]:
        """Record until the end of the block."""
        with pytest.MonkeyPatch.context() as patch:
            for name in self._real:
                patch.setattr(os, name, getattr(self, f"_{name}"))
            patch.setattr(os, "fdatasync", self._fsync)
            for name in ("transaction", "reading", "driver", "driver_transaction"):
                patch.setattr(Database, name, self._recorded(getattr(Database, name)))
            yield

    def _open(self, path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        with self._lock:
            descriptor: int = self._real["open"](path, flags, *arguments, **options)
            if flags & CREATES == CREATES:
                state = os.fstat(descriptor)
                self._inodes[state.st_dev, state.st_ino] = next(self._numbers)
                self._name(self._below(path, options.get("dir_fd")), os.fstat(descriptor), Content(b""))
            return descriptor

    def _mkdir(self, path: Any, *arguments: Any, **options: Any) -> None:
        with self._lock:
            self._real["mkdir"](path, *arguments, **options)
            if (below := self._below(path, options.get("dir_fd"))) is not None:
                self.events.append(FolderMade(below))

    def _rename(self, source: Any, target: Any, **options: Any) -> None:
        with self._lock:
            old, new = (
                self._below(source, options.get("src_dir_fd")),
                self._below(target, options.get("dst_dir_fd")),
            )
            self._real["rename"](source, target, **options)
            self._reach(new)
            if old is not None:
                self.events.append(Unnamed(old))

    def _link(self, source: Any, target: Any, **options: Any) -> None:
        with self._lock:
            new = self._below(target, options.get("dst_dir_fd"))
            self._real["link"](source, target, **options)
            self._reach(new)

    def _unlink(self, path: Any, **options: Any) -> None:
        with self._lock:
            below = self._below(path, options.get("dir_fd"))
            self._real["unlink"](path, **options)
            if below is not None:
                self.events.append(Unnamed(below))

    def _fsync(self, descriptor: Any) -> None:
        with self._lock:
            self._real["fsync"](descriptor)
            state, path = os.fstat(descriptor), os.readlink(f"/proc/self/fd/{int(descriptor)}")
            below = self._below(path, None)
            if stat.S_ISDIR(state.st_mode):
                if below is not None:
                    self.events.append(FolderSynced(below))
            else:
                content = _content(f"/proc/self/fd/{int(descriptor)}")
                self.events.append(FileSynced(below or "upload", self._inode(state), content))

    def _reach(self, below: str | None) -> None:
        """Record what a new name leads to."""
        if below is not None:
            path = self._root + below
            self._name(below, os.stat(path), _content(path))

    def _name(self, below: str | None, state: os.stat_result, content: Content) -> None:
        if below is not None:
            self.events.append(Named(below, self._inode(state), content))

    def _inode(self, state: os.stat_result) -> int:
        """A number that, unlike the inode's own, is never used again."""
        key = state.st_dev, state.st_ino
        if key not in self._inodes:
            self._inodes[key] = next(self._numbers)
        return self._inodes[key]

    def _below(self, path: Any, folder: int | None) -> str | None:
        """The path below the root; None if it is elsewhere."""
        text = os.fspath(path)
        if folder is not None:
            text = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), text)
        if text + "/" == self._root:
            return ""
        return text.removeprefix(self._root).rstrip("/") if text.startswith(self._root) else None

    def _recorded(self, real: Callable[..., Any]) -> Callable[..., Any]:
        """A transaction whose end is recorded together with the rows that it leaves."""

        @asynccontextmanager
        async def recorded(database: Database, *arguments: Any) -> AsyncIterator[Connection]:
            context = real(database, *arguments)
            connection = await context.__aenter__()
            try:
                yield connection
            except BaseException:
                if not await context.__aexit__(*sys.exc_info()):
                    raise
            else:
                async with self._held():
                    await context.__aexit__(None, None, None)
                    await self._note_rows()

        return recorded

    @asynccontextmanager
    async def _held(self) -> AsyncIterator[None]:
        """Keep every call of other threads waiting. Commits of this thread go one after another."""
        async with self._commits:
            while not self._lock.acquire(blocking=False):
                await asyncio.sleep(0)
            try:
                yield
            finally:
                self._lock.release()

    async def _note_rows(self) -> None:
        rows = await self._rows()
        if not any(isinstance(event, Committed) and event.rows == rows for event in self.events[-1:]):
            self.events.append(Committed(rows))


def _content(path: str) -> Content:
    body = Path(path).read_bytes()
    try:
        return Content(body, os.getxattr(path, ATTRIBUTE))
    except OSError:
        return Content(body)
