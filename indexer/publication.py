"""Publishes packages: writes the files that readers see from committed rows.

The only writer of index/ and dl/.

This module chooses the packages and the transaction, and records and announces what was published;
package_files.py renders the files, and package_puts.py puts them.

Every function may run twice, late, or on two workers at once, with the same resulting bytes. Files are put in
the order that readers need: archive, metadata, index file, and later the catalog. Removal goes in the
opposite order: first the line, then the files.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Mapping, Sequence
from functools import partial

import structlog

from indexer.access_publication import publish_access
from indexer.catalog import render_catalog_line
from indexer.fence import Fence, look
from indexer.listing import listing_of
from indexer.log.entry import changed_lines
from indexer.metrics import PUBLICATION_SECONDS
from indexer.package_files import PackageFiles, render_package_files, replaced_keys_of
from indexer.package_puts import look_at_package, put_package_files
from indexer.parts import Parts
from indexer.purging.wanted import want_purge
from indexer.queries import marks, packages
from indexer.queries.private import hide
from indexer.rows import PackageState
from shared.batching import together_or_apart
from shared.busy import until_free
from shared.concurrency import together
from shared.database import require_open
from shared.errors import PackageBusy, RegistryError
from shared.messages import Change
from shared.names import PackageName
from shared.private_names import is_private
from shared.settings import Settings
from shared.statements import Driver
from shared.stop_points import stop_at
from shared.storage.interface import BlobInfo

Outcome = int | Exception | None
"""The outcome for a package: the generation now published, None if it is unknown, or the error."""

log = structlog.get_logger()


async def publish_package(parts: Parts, name: PackageName) -> int | None:
    """Write everything that readers see of a package, if it has unpublished changes.

    Returns the generation now published; None if the package is unknown. Waits while the package is busy.
    Raises StorageUnavailable, DatabaseUnavailable or PackageBusy when it should be tried again.
    """

    async def attempt() -> int | None:
        [outcome] = await publish_packages(parts, [name])
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return await until_free(attempt)


async def publish_packages(parts: Parts, names: Sequence[PackageName]) -> list[Outcome]:
    """Publish many different packages. Returns the outcome of each, in order.

    They share a transaction. A package that somebody else has locked is PackageBusy at once; none waits.
    """

    async def publish(some: Sequence[PackageName]) -> list[Outcome]:
        await parts.high_water.require()
        outcomes = await _publish(parts, some)
        return [outcomes[name] for name in some]

    return await together_or_apart(publish, names)


async def _publish(parts: Parts, names: Sequence[PackageName]) -> dict[PackageName, Outcome]:
    """Publish packages in one transaction. One whose files cannot be put is left as it is."""
    begun = time.perf_counter()
    seen = await _look_before(parts, names)
    async with parts.putting() as (tx, doubtful):
        fence = Fence(parts.storage, partial(require_open, tx), seen)
        states = await packages.lock_states(tx, names, parts.settings.official_handle, parts.versions)
        outcomes = dict.fromkeys(names, None) | {state.package.name: _without_work(state) for state in states}
        dirty = [state for state in states if state.is_locked and not state.is_clean]
        done, has_event = await _put(parts, fence, dirty, outcomes, doubtful), False
        if done:
            has_event = await _mark(tx, done, parts.settings)
            await want_purge(tx, parts.settings, (key for put in done for key in put.changed_keys))
        stop_at("before_published_mark", parts.settings.test_stop_at)
    if done:
        stop_at("after_published_mark", parts.settings.test_stop_at)
        if parts.recent is not None:
            parts.recent.note([put.package.name for put in done])
        if any(is_private(put.package.name, parts.settings.private_namespaces) for put in done):
            await publish_access(parts)  # first, so that owners can read when they are told
        await _announce(parts, done)
        if has_event:
            await parts.notifier.deliver_webhooks()
        for _ in done:
            PUBLICATION_SECONDS.observe(time.perf_counter() - begun)
    return outcomes


def _without_work(state: PackageState) -> Outcome:
    """The outcome for a package that nothing is put of."""
    return state.published_generation if state.is_locked else PackageBusy()


async def _put(
    parts: Parts,
    fence: Fence,
    dirty: Sequence[PackageState],
    outcomes: dict[PackageName, Outcome],
    doubtful: set[str],
) -> list[PackageFiles]:
    """Put the files of packages whose locks the transaction holds. Returns those that were put.

    If files had to be looked at under the lock, a statement proves afterwards that the locks are still held.
    """
    looks = {state.package.name: _look(parts, fence, state) for state in dirty}
    ready = await _successes(looks, outcomes)
    fence.require_held()
    if not ready:
        return []
    await fence.prove_looks()
    names = {files.package.name for files in ready}
    doubtful |= names
    puts = {files.package.name: put_package_files(parts, fence, files) for files in ready}
    done = await _successes(puts, outcomes)
    fence.require_held()
    outcomes |= {files.package.name: files.package.generation for files in done}
    parts.in_doubt.update(names - {files.package.name for files in done})
    return done


async def _look_before(parts: Parts, names: Sequence[PackageName]) -> dict[str, BlobInfo | None]:
    """The files that every publication replaces, as they are before the packages are locked.

    In S3, a look costs as much as a put, so it is made while what replaces nothing is put.
    """
    if not parts.settings.stores_files:
        return {}
    looks = (look(parts.storage, replaced_keys_of(name)) for name in names)
    return {key: blob for found in await together(*looks, at_once=len(names)) for key, blob in found.items()}


async def _look(parts: Parts, fence: Fence, state: PackageState) -> PackageFiles:
    return await look_at_package(parts, fence, render_package_files(state))


async def _successes(
    work: Mapping[PackageName, Awaitable[PackageFiles]], outcomes: dict[PackageName, Outcome]
) -> list[PackageFiles]:
    """The results of the work that succeeded. Where it failed, the error becomes the package's outcome."""
    done = []
    results = await asyncio.gather(*work.values(), return_exceptions=True)
    for name, result in zip(work, results, strict=True):
        if isinstance(result, PackageFiles):
            done.append(result)
        elif isinstance(result, Exception):
            outcomes[name] = result
        else:
            raise result
    return done


async def _mark(tx: Driver, done: Sequence[PackageFiles], settings: Settings) -> bool:
    """Record what was put, and hand the lines that changed to the transparency log.

    Of a private package neither log nor lists tell anything. True if a webhook waits for one of the packages.
    """
    is_logging, private = settings.log_key_b64 is not None, settings.private_namespaces
    shown = [put for put in done if not is_private(put.package.name, private)]
    hidden = [put.package for put in done if is_private(put.package.name, private)]
    lines = [line for put in shown for line in changed_lines(put.package, put.lines)] if is_logging else []
    if hidden:
        await hide(tx, [(package.id, render_catalog_line(package)) for package in hidden])
    put = [_mark_of(each, is_hidden=each.package in hidden) for each in done]
    return await marks.mark(tx, put, lines, is_logging=is_logging, has_pages=settings.has_pages)


def _mark_of(put: PackageFiles, *, is_hidden: bool) -> marks.Mark:
    package = put.package
    if is_hidden:
        return marks.Mark(package.id, package.generation, None, put.digests, None)
    line = render_catalog_line(package)
    return marks.Mark(package.id, package.generation, line, put.digests, listing_of(package))


async def _announce(parts: Parts, done: Sequence[PackageFiles]) -> None:
    """Tell readers and waiting publishers, then remove what was staged."""
    keys = tuple(key for put in done for key in put.changed_keys)
    generations: dict[str, int] = {put.package.name: put.package.generation for put in done}
    await parts.notifier.announce(Change(keys, generations))
    for put in done:
        log.info(
            "package_published",
            package=put.package.name,
            generation=put.package.generation,
            index_sha256=put.index.digest,
        )
    await together(*(parts.storage.delete(row.staging_key) for put in done for row in put.staged))


async def put_doubtful_again(parts: Parts) -> None:
    """Make every package that is in doubt dirty, so that the next sweep puts all of its files."""
    names = set(parts.in_doubt)
    parts.in_doubt.clear()  # first, so that packages which come into doubt meanwhile stay
    try:
        if names:
            async with parts.database.transaction() as tx:
                await packages.put_again(tx, sorted(names))
    except RegistryError:
        parts.in_doubt.update(names)
        raise
