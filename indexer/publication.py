"""Publication: committed rows become files that readers see. The only writer of index/ and dl/.

Every function may run twice, late, or on two workers at once, with the same bytes as result.
Order matters to readers: archive, metadata, index file, then (elsewhere, later) the catalog. What was
removed goes the other way: first its line, then its files.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from indexer import queries
from indexer import queries_marks as marks
from indexer.catalog import render_catalog_line
from indexer.config import render_config
from indexer.encodings import delete_variants, put_variants_of_body
from indexer.entry import render_index_file
from indexer.listing import listing_of
from indexer.metadata import render_metadata
from indexer.metrics import PUBLICATION_SECONDS
from indexer.rows import PackageRow, VersionRow
from shared.blobs import (
    CATALOG_KEY,
    CONFIG_KEY,
    JSON_TYPE,
    NDJSON_TYPE,
    archive_key,
    index_key,
    metadata_key,
    staging_key,
)
from shared.database import Database
from shared.errors import MetadataCorrupt, RegistryError, StorageFailed, Unavailable
from shared.jobs import Change, Notifier
from shared.names import PackageName
from shared.settings import Settings
from shared.stop_points import stop_at
from shared.storage.interface import BlobInfo, Storage
from shared.storage.replacing import replace_blob
from shared.storage.together import together
from shared.versions import VersionText

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Parts:
    """What publication works with; one set a worker process.

    in_doubt: packages, and the catalog's key, whose publication failed while it put files. The lock may
    have been lost by then, so that an old file landed on a newer one: they are to be put again.
    """

    settings: Settings
    database: Database
    storage: Storage
    notifier: Notifier
    in_doubt: set[str] = field(default_factory=set)

    @asynccontextmanager
    async def putting(self, *names: str) -> AsyncIterator[AsyncConnection]:
        """A transaction that puts files; whatever fails in it, also its commit, leaves the names in doubt."""
        try:
            async with self.database.transaction() as tx:
                yield tx
        except BaseException:
            self.in_doubt.update(names)
            raise


@dataclass(frozen=True, slots=True)
class _Document:
    """A metadata document. digest: SHA-256 of the body, 64 hex digits."""

    body: bytes
    digest: str


@dataclass(frozen=True, slots=True)
class _Put:
    """What was put of a package. digests: of metadata, by version; staged versions included."""

    package: PackageRow
    digests: dict[VersionText, str | None]
    index_digest: str | None
    removed_keys: list[str]

    @property
    def staged(self) -> list[VersionRow]:
        """Versions whose archives were promoted."""
        return [row for row in self.package.versions if row.staged]

    @property
    def keys(self) -> list[str]:
        """Every key that was put or deleted."""
        name = self.package.name
        return [
            index_key(name),
            *(metadata_key(name, version) for version in self.digests),
            *(archive_key(name, row.version) for row in self.staged),
            *self.removed_keys,
        ]


async def publish_package(parts: Parts, name: PackageName) -> int | None:
    """Write everything readers see of a package, if it has changes that are not published.

    Returns the generation now published; None when the package is unknown. Raises
    StorageUnavailable or DatabaseUnavailable when it should be tried again.
    """
    [outcome] = await publish_packages(parts, [name])
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


async def publish_packages(parts: Parts, names: Sequence[PackageName]) -> list[int | Exception | None]:
    """publish_package of many different packages: of each what it returns or raises, in order.

    They share a transaction, as far as nobody else is at work on them and nothing is wrong with one.
    """
    outcomes: dict[PackageName, int | Exception | None] = {}
    try:
        outcomes = await _publish(parts, names, wait=len(names) == 1)
    except Exception as error:
        if isinstance(error, Unavailable) or len(names) == 1:
            return [error] * len(names)
        log.warning("batch_failed", packages=len(names), error=type(error).__name__)
    for name in names:
        if name not in outcomes:
            [outcomes[name]] = await publish_packages(parts, [name])
    return [outcomes[name] for name in names]


async def _publish(
    parts: Parts, names: Sequence[PackageName], *, wait: bool
) -> dict[PackageName, int | Exception | None]:
    """Publish packages in one transaction; without wait, those that are busy have no outcome.

    One whose files cannot be put is left as it is; the others go on.
    """
    begun = time.perf_counter()
    async with parts.putting(*names) as tx:
        locked = await queries.lock_packages(tx, names, wait=wait)
        states = await queries.states_of(tx, names, parts.settings.official_handle)
        known = {state.package.name for state in states}
        outcomes: dict[PackageName, int | Exception | None] = {
            name: None for name in names if name not in known
        }
        mine = [state for state in states if state.package.name in locked]
        outcomes |= {state.package.name: state.published_generation for state in mine if state.is_clean}
        dirty = [state.package for state in mine if not state.is_clean]
        tried = await asyncio.gather(*(_put(parts, package) for package in dirty), return_exceptions=True)
        done = [put for put in tried if isinstance(put, _Put)]
        for package, put in zip(dirty, tried, strict=True):
            if isinstance(put, _Put):
                outcomes[package.name] = package.generation
            elif isinstance(put, Exception):
                parts.in_doubt.add(package.name)
                outcomes[package.name] = put
            else:
                raise put
        if done:
            await _mark(tx, done)
        stop_at("before_published_mark", parts.settings.test_stop_at)
    if done:
        stop_at("after_published_mark", parts.settings.test_stop_at)
        await _announce(parts, done)
        for _ in done:
            PUBLICATION_SECONDS.observe(time.perf_counter() - begun)
    return outcomes


async def _put(parts: Parts, package: PackageRow) -> _Put:
    """Put the files of a package, what its index file speaks of before it.

    All that is replaced is seen first, as soon as the lock is held.
    """
    storage, documents = parts.storage, _changed_documents(package)
    seen = await _seen(storage, package.name, documents)
    await together(_promote_staged(parts, package), _put_metadata(storage, package.name, documents, seen))
    index_digest = await _put_index_file(storage, package, seen)
    stop_at("after_index_put", parts.settings.test_stop_at)
    digests: dict[VersionText, str | None] = {
        row.version: row.metadata_digest for row in package.versions if row.staged
    }
    digests |= {version: document.digest for version, document in documents.items()}
    return _Put(package, digests, index_digest, await _delete_removed(storage, package))


async def _seen(
    storage: Storage, name: PackageName, documents: Mapping[VersionText, _Document]
) -> dict[str, BlobInfo | None]:
    """What is there now of all that will be replaced, by key."""
    keys = [index_key(name), *(metadata_key(name, version) for version in documents)]
    return dict(zip(keys, await together(*map(storage.head, keys)), strict=True))


async def _mark(tx: AsyncConnection, done: Sequence[_Put]) -> None:
    """Record what was put."""
    packages = [put.package for put in done]
    await marks.mark(
        tx,
        [(package.id, package.generation, render_catalog_line(package)) for package in packages],
        [(put.package.id, version, digest) for put in done for version, digest in put.digests.items()],
    )
    await marks.put_listings(tx, [(package.id, listing_of(package)) for package in packages])


async def _announce(parts: Parts, done: Sequence[_Put]) -> None:
    """Tell readers and waiting publishers, then remove what was staged."""
    keys = tuple(key for put in done for key in put.keys)
    generations: dict[str, int] = {put.package.name: put.package.generation for put in done}
    await parts.notifier.announce(Change(keys, generations))
    for put in done:
        log.info(
            "package_published",
            package=put.package.name,
            generation=put.package.generation,
            index_sha256=put.index_digest,
        )
    await together(*(parts.storage.delete(staging_key(row.cksum)) for put in done for row in put.staged))


async def put_doubtful_again(parts: Parts) -> None:
    """Make every package that is in doubt dirty, so that the next sweep puts all of its files.

    So is once, a while later, each package of which a version was removed.
    """
    names = parts.in_doubt - {CATALOG_KEY}
    parts.in_doubt.difference_update(names)  # first: what comes into doubt meanwhile stays there
    try:
        async with parts.database.transaction() as tx:
            if again := sorted(names | await queries.in_doubt_since_removal(tx)):
                await queries.put_again(tx, again)
    except RegistryError:
        parts.in_doubt.update(names)
        raise


async def publish_config(parts: Parts, *, anew: bool = False) -> None:
    """Write config.json if storage does not say that it holds these very bytes; anew: in any case."""
    body = render_config(parts.settings)
    digest = hashlib.sha256(body).hexdigest()
    stored = await parts.storage.head(CONFIG_KEY)
    if not anew and stored is not None and stored.digest == digest:
        return
    await replace_blob(parts.storage, CONFIG_KEY, body, seen=stored, content_type=JSON_TYPE, digest=digest)
    await parts.notifier.announce(Change((CONFIG_KEY,)))


async def _promote_staged(parts: Parts, package: PackageRow) -> None:
    """Promote every archive that waits."""
    await together(*(_promote(parts.storage, package.name, row) for row in package.versions if row.staged))
    stop_at("after_promote", parts.settings.test_stop_at)


async def _promote(storage: Storage, name: PackageName, row: VersionRow) -> None:
    """Copy a staged archive to where readers find it; done already if a publication was cut off."""
    target = archive_key(name, row.version)
    if await storage.copy(staging_key(row.cksum), target):
        return
    stored = await storage.head(target)
    if stored is None or stored.digest != row.cksum:
        raise StorageFailed(f"archive of {name} {row.version} is neither staged nor published")


async def _delete_removed(storage: Storage, package: PackageRow) -> list[str]:
    """Delete the files of removed versions, also staged bytes; the keys that readers may have cached.

    Each publication does so again: an older worker may not have known, or put one late.
    """
    keys = [key(package.name, row.version) for row in package.removed for key in (archive_key, metadata_key)]
    staged = [staging_key(row.cksum) for row in package.removed]
    await together(*(storage.delete(key) for key in (*keys, *staged)))
    return keys


def _changed_documents(package: PackageRow) -> dict[VersionText, _Document]:
    """The metadata documents that are not in storage as they are now."""
    changed = {}
    for row in package.versions:
        if (body := metadata_body(package, row)) is not None:
            digest = hashlib.sha256(body).hexdigest()
            if digest != row.metadata_digest:
                changed[row.version] = _Document(body, digest)
    return changed


async def _put_metadata(
    storage: Storage,
    name: PackageName,
    documents: Mapping[VersionText, _Document],
    seen: Mapping[str, BlobInfo | None],
) -> None:
    keys = {metadata_key(name, version): document for version, document in documents.items()}
    await together(
        *(
            replace_blob(
                storage, key, document.body, seen=seen[key], content_type=JSON_TYPE, digest=document.digest
            )
            for key, document in keys.items()
        )
    )


def metadata_body(package: PackageRow, row: VersionRow) -> bytes | None:
    """The document, or None for an old manifest that has none: one bad row must not stop the rest."""
    try:
        return render_metadata(package, row)
    except MetadataCorrupt:
        log.error("stored_manifest_corrupt", package=package.name, version=row.version)
        return None


async def _put_index_file(
    storage: Storage, package: PackageRow, seen: Mapping[str, BlobInfo | None]
) -> str | None:
    """Put the index file and its variants, or remove them when no version is left; the file's digest."""
    key = index_key(package.name)
    if not package.versions:
        await together(storage.delete(key), delete_variants(storage, key))
        return None
    body = render_index_file(package)
    digest = hashlib.sha256(body).hexdigest()
    await together(
        replace_blob(storage, key, body, seen=seen[key], content_type=NDJSON_TYPE, digest=digest),
        put_variants_of_body(storage, key, body, content_type=NDJSON_TYPE, digest=digest),
    )
    return digest
