"""Updates a mirror from its origin, once or repeatedly.

An update reads config.json, the checkpoint and the new entries. It copies each package that the entries name,
then the catalog, and last the checkpoint. The mirror therefore always has the files that it refers to, and an
update that was interrupted can simply be repeated.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import msgspec

from indexer.config import IndexConfig
from indexer.log.note import VerifierKey
from indexer.mirror.catalog_walk import CatalogWalk, fetch_catalog, has_catalog, put_catalog
from indexer.mirror.documents import render_mirror_config, require_same_keys
from indexer.mirror.lines import Lines
from indexer.mirror.log_copy import LogCopy, key_of
from indexer.mirror.log_walk import LATE_S, LogWalk
from indexer.mirror.origin import Origin
from indexer.mirror.package import Complaint, Packages
from indexer.mirror.state import FOLDER, State, load_state, save_state
from indexer.mirror.wanted import hide_unwanted
from indexer.upkeep.progress import Progress
from indexer.upkeep.web import Answer
from shared.blobs import CATALOG_KEY, CHECKPOINT_KEY, CONFIG_KEY, JSON_TYPE
from shared.errors import StorageUnavailable
from shared.storage.filesystem import FileSystemStorage
from shared.storage.interface import Found
from shared.storage.keys import TEMPORARY
from shared.storage.leftovers import remove_temporary_folder

PAUSE_S: Final = 0.5
# With --follow: how often config.json and catalog are checked, and how long the catalog may lag behind a
# change.
EVERYTHING_EVERY_S: Final = 60.0
CATALOG_FOR_S: Final = 10.0
SOURCE: Final = "config.json"


@dataclass(frozen=True, slots=True)
class Wishes:
    """The operator's options.

    dl: URL of the mirror's archives, which ends in `dl/`. vkey: of the log; None: the one in config.json.
    packages: patterns of names; empty: as before. jobs: packages at a time. deep: check existing files
    again.
    """

    dl: str
    vkey: str | None = None
    packages: tuple[str, ...] = ()
    jobs: int = 16
    deep: bool = False


@dataclass(slots=True)
class Mirror:
    """A mirror below `root`. Only this process writes to it."""

    root: Path
    packages: Packages
    lines: Lines
    progress: Progress
    wishes: Wishes
    state: State
    has_new_patterns: bool
    walk: LogWalk | CatalogWalk | None = None
    _catalog_until: float = 0.0
    _catalog_wrong: list[Complaint] = field(default_factory=list)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, root: Path, origin: Origin, progress: Progress, wishes: Wishes
    ) -> AsyncIterator[Self]:
        """The mirror in a directory, which is created if missing. Raises OSError."""
        async with AsyncExitStack() as stack:
            store = FileSystemStorage(root)
            await store.create()
            stack.callback(remove_temporary_folder, root / TEMPORARY)
            stack.push_async_callback(store.close)
            (root / FOLDER).mkdir(exist_ok=True)
            spool = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="run-", dir=root / FOLDER)))
            lines = Lines(spool / "lines.sqlite")
            stack.callback(lines.close)
            packages = Packages(origin, store, spool, deep=wishes.deep)
            state = load_state(root)
            if state.url != origin.base:
                state.etags.clear()
            patterns = wishes.packages or state.packages
            is_new = patterns != state.packages
            state.url, state.packages = origin.base, patterns
            yield cls(root, packages, lines, progress, wishes, state, is_new)

    @property
    def is_verified(self) -> bool:
        """True if the origin has a log that vouches for each line."""
        return isinstance(self.walk, LogWalk)

    @property
    def size(self) -> int:
        """How many entries of the origin's log the mirror has."""
        return self.walk.copy.size if isinstance(self.walk, LogWalk) else 0

    async def run(self) -> list[Complaint]:
        """Update once. Returns what is wrong at the origin, after allowing it time to become consistent.

        Raises Forked, LogInvalid, StorageUnavailable, StorageFailed, OSError.
        """
        await self.look(everything=True)
        deadline = time.monotonic() + LATE_S
        while self.is_verified and self._complaints() and time.monotonic() < deadline:
            await asyncio.sleep(PAUSE_S)
            await self.look(everything=False)
        return self._complaints()

    async def follow(self, every_s: float) -> AsyncIterator[list[Complaint] | StorageUnavailable]:
        """Update until cancelled. Yields, after each change, what is wrong, or why the origin is away.

        every_s: seconds between two reads of the checkpoint. Raises what run raises, but waits for an origin
        that is away.
        """
        next_whole, told = 0.0, list[Complaint]()
        while True:
            began, before = time.monotonic(), self.packages.copied.files
            is_whole = began >= next_whole
            try:
                await self.look(everything=is_whole)
            except StorageUnavailable as error:
                yield error
            else:
                next_whole = began + EVERYTHING_EVERY_S if is_whole else next_whole
                late = self._complaints(older_than_s=LATE_S)
                if self.packages.copied.files != before or late != told:
                    told = late
                    yield late
            await asyncio.sleep(max(0.0, began + every_s - time.monotonic()))

    def _complaints(self, older_than_s: float = 0.0) -> list[Complaint]:
        of_packages = [] if self.walk is None else self.walk.complaints(older_than_s)
        return [*of_packages, *self._catalog_wrong]

    async def look(self, *, everything: bool) -> None:
        """Update the mirror. everything: also the files that no log entry announces."""
        if everything or self.walk is None:
            await self._config()
        if isinstance(self.walk, LogWalk):
            await self._look_at_log(self.walk, everything=everything)
        elif isinstance(self.walk, CatalogWalk) and everything:
            await self._catalog()
            await self.walk.run()
            self._catalog_wrong = await put_catalog(self.packages, self.root)
            self._save(())

    async def _look_at_log(self, walk: LogWalk, *, everything: bool) -> None:
        etag = self.state.etags.get(CHECKPOINT_KEY) if walk.copy.held.head else None
        found = await walk.copy.newest(etag)
        await walk.run(None if found is None else found[0], patient=not everything)
        now = time.monotonic()
        if found is not None:
            self._catalog_until = now + CATALOG_FOR_S
        is_new = (everything or now < self._catalog_until) and await self._catalog()
        if is_new or everything or found is not None:
            self._catalog_wrong = await put_catalog(self.packages, self.root)
        if everything or found is not None:
            self._save(walk.again())
        if found is not None:
            await walk.copy.finish(found[0])
            self._remember(CHECKPOINT_KEY, found[1])
            self._save(walk.again())

    async def _config(self) -> None:
        """Read config.json, and start the walk for this kind of registry."""
        origin, source = self.packages.origin, self.root / FOLDER / SOURCE
        answer = await origin.read_config(self.state.etags.get(CONFIG_KEY) if source.exists() else None)
        body = answer.body if isinstance(answer, Answer) else source.read_bytes()
        origin.take_config(body)
        held = await self.packages.mirror.get(CONFIG_KEY)
        if isinstance(held, Found):
            require_same_keys(msgspec.json.decode(held.body, type=IndexConfig), origin.config)
        log = origin.config.log
        key = key_of(
            self.wishes.vkey, None if isinstance(log, msgspec.UnsetType) else log.vkey, self.state.vkey
        )
        if self.walk is None:
            self.walk = await self._begin(key)
        self.state.vkey = None if key is None else str(key)
        config = render_mirror_config(body, self.wishes.dl, self.state.vkey)
        await self.packages.put_document(CONFIG_KEY, config, JSON_TYPE)
        if isinstance(answer, Answer):
            source.write_bytes(body)
            self._remember(CONFIG_KEY, answer.etag)

    async def _begin(self, key: VerifierKey | None) -> LogWalk | CatalogWalk:
        wishes, packages = self.wishes, self.packages
        if self.has_new_patterns:
            await hide_unwanted(packages, self.state.packages)
        if key is None:
            return CatalogWalk(packages, self.root, self.progress, self.state.packages, wishes.jobs)
        copy = LogCopy(packages.origin, packages.mirror, key, self.root)
        await copy.open()
        walk = LogWalk(copy, packages, self.lines, self.progress, self.state.packages, wishes.jobs)
        await walk.begin(self.state.again, is_whole=wishes.deep or self.has_new_patterns)
        return walk

    async def _catalog(self) -> bool:
        """Remember the origin's catalog; True if it is new."""
        known = self.state.etags.get(CATALOG_KEY) if has_catalog(self.root) else None
        etag = await fetch_catalog(self.packages, self.root, known)
        self._remember(CATALOG_KEY, etag)
        return etag is None or etag != known

    def _remember(self, key: str, etag: str | None) -> None:
        self.state.etags.pop(key, None)
        if etag is not None:
            self.state.etags[key] = etag

    def _save(self, again: tuple[str, ...]) -> None:
        self.state.again = again
        save_state(self.root, self.state)
