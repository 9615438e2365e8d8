"""Heals index files, pages and metadata documents that differ from the rows of their packages.

Storage may hold an older file of a package that has no waiting change, which no sweep would correct. Each
worker therefore checks one package after another, with a few HEADs each, at a pace that covers all packages
within a day but never exceeds MAX_PER_S per second. A package that differs is made dirty, and the next sweep
puts all of its files. Each look checks a part of the package's metadata documents, so that the number of
HEADs stays bounded; the next rounds check the other parts. Packages whose publication ended in doubt do not
wait for their turn (publication.py, put_doubtful_again), and on S3 neither do those that were published
lately (recent_publications.py).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from math import ceil
from typing import Final

import structlog

from indexer.encodings import variant_keys
from indexer.fence import Rendered
from indexer.metrics import PACKAGES_HEALED, PACKAGES_LOOKED_AT
from indexer.package_files import render_package_files
from indexer.parts import Parts
from indexer.queries import packages, tree
from indexer.rows import PackageState, VersionRow
from shared.blobs import metadata_key
from shared.concurrency import together
from shared.errors import DatabaseCorrupt
from shared.names import PackageName
from shared.storage.interface import BlobInfo, Storage

ROUND_S: Final = 43_200.0
TURN_S: Final = 5.0
MAX_PER_S: Final = 20
MIN_PER_TURN: Final = 5
# All documents of a package are checked within a week, at most MAX_DOCUMENTS in one look.
MIN_DOCUMENTS: Final = 4
MAX_DOCUMENTS: Final = 100
ROUNDS_PER_WEEK: Final = 14

log = structlog.get_logger()


class Healing:
    """One worker's round over all packages.

    It begins at a random package, so that workers which restart often do not check only the first packages.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._after: str | None = None
        self._per_turn = MIN_PER_TURN
        self._has_begun = False

    async def turn(self) -> list[PackageName]:
        """Check the next packages. Returns those that were made dirty.

        Raises StorageUnavailable, StorageFailed, DatabaseUnavailable; the next turn checks the same ones.
        """
        after = await self._start() if self._after is None else self._after
        async with self._parts.database.transaction() as tx:
            names = await tree.names_behind(tx, after, self._per_turn)
        looked_at = list(dict.fromkeys([*names, *self._lately(len(names))]))
        healed = await self._heal(looked_at) if looked_at else []
        self._after = names[-1] if len(names) == self._per_turn else None
        PACKAGES_LOOKED_AT.inc(len(looked_at))
        return healed

    def _lately(self, taken: int) -> list[PackageName]:
        """Packages published lately, as many as the turn still has room for after those it has taken."""
        recent = self._parts.recent
        return recent.take_due(int(MAX_PER_S * TURN_S) - taken) if recent is not None else []

    async def _start(self) -> str:
        """The start of a round: a random package for the first round, the first package for later ones."""
        async with self._parts.database.transaction() as tx:
            count = await tree.count_packages(tx)
            somewhere = 0 if self._has_begun or not count else secrets.randbelow(count)
            start = await tree.name_at(tx, somewhere) if somewhere else ""
        self._per_turn, self._has_begun = pace_of(count), True
        return start

    async def _heal(self, names: Sequence[PackageName]) -> list[PackageName]:
        """Make packages dirty whose files differ although no change waits and none came meanwhile."""
        states = await self._states(names)
        storage = self._parts.storage
        wrong = await together(*(is_wrong(storage, state) for state in states if _is_looked_at(state)))
        suspects = [
            state for state, differs in zip(filter(_is_looked_at, states), wrong, strict=True) if differs
        ]
        if not suspects:
            return []
        now = {state.package.name: state for state in await self._states([s.package.name for s in suspects])}
        healed = [
            state.package.name
            for state in suspects
            if state.package.name in now and now[state.package.name].is_same_as(state)
        ]
        if healed:
            async with self._parts.database.transaction() as tx:
                await packages.put_again(tx, healed)
            PACKAGES_HEALED.inc(len(healed))
            log.warning("index_files_differ", packages=healed)
        return healed

    async def _states(self, names: Sequence[PackageName]) -> list[PackageState]:
        official = self._parts.settings.official_handle
        async with self._parts.database.transaction("REPEATABLE READ") as tx:
            return await packages.states_of(tx, names, official)


async def is_wrong(storage: Storage, state: PackageState) -> bool:
    """True if storage holds another file of a package than its rows say.

    That is its index file, its variants, its page, its lists of advisories or some of its metadata documents.
    """
    try:
        files = render_package_files(state)
    except DatabaseCorrupt:
        return False  # `verify` reports it; publishing again would not help
    keys = (files.index.key, files.page.key, *variant_keys(files.index.key))
    rows = documents_of_round(files.package.versions, int(time.time() // ROUND_S))
    document_keys = [metadata_key(files.package.name, row.version) for row in rows]
    index, page, *variants = await together(*map(storage.head, keys))
    lists = await together(*(storage.head(file.key) for file in files.advisory_lists))
    documents = await together(*map(storage.head, document_keys))
    generation = files.package.generation
    newest = max((blob.generation for blob in (index, page, *documents) if blob), default=0)
    if newest > generation:
        # The rows are older than storage, so nothing is corrected from them (shared/high_water.py).
        log.error("rows_older_than_storage", package=files.package.name, generation=newest)
        return False
    return (
        not _is_current(index, files.index, generation)
        or not (_is_of_older_release(index, page) or _is_current(page, files.page, generation))
        or any(variant and variant.identity_digest != files.index.digest for variant in variants)
        or any(
            there is None or there.digest != file.digest
            for there, file in zip(lists, files.advisory_lists, strict=True)
        )
        or any(
            document is None or document.digest != row.metadata_digest
            for document, row in zip(documents, rows, strict=True)
        )
    )


def documents_of_round(rows: Sequence[VersionRow], number: int) -> list[VersionRow]:
    """The versions whose metadata documents are checked in the round with this number.

    Each round checks one part. Up to MIN_DOCUMENTS are one part. More are divided into ROUNDS_PER_WEEK parts
    at most, or into more if a part would have more than MAX_DOCUMENTS.
    """
    were_put = [row for row in rows if row.metadata_digest is not None]
    few, many = ceil(len(were_put) / MIN_DOCUMENTS), ceil(len(were_put) / MAX_DOCUMENTS)
    parts = max(1, min(ROUNDS_PER_WEEK, few), many)
    return were_put[number % parts :: parts]


def _is_current(there: BlobInfo | None, file: Rendered, generation: int) -> bool:
    """True for the file of the rows. A release that did not note generations left a 0."""
    return there is not None and there.digest == file.digest and there.generation in (0, generation)


def _is_of_older_release(index: BlobInfo | None, page: BlobInfo | None) -> bool:
    """True where a release put the files that wrote no pages."""
    return page is None and index is not None and index.generation == 0


def pace_of(count: int) -> int:
    """How many packages to check per turn, so that a round over all of them takes about ROUND_S."""
    return max(MIN_PER_TURN, min(int(MAX_PER_S * TURN_S), -int(-count * TURN_S // ROUND_S)))


def _is_looked_at(state: PackageState) -> bool:
    """False for a dirty package, which publication corrects, and for one without versions: it has no file."""
    return state.is_clean and bool(state.package.versions)
