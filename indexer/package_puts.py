"""Puts the files of one package through a fence, in the order that readers need.

Archive and metadata come first, then the index file. Removal goes in the opposite order: first the line, then
the files.
"""

from __future__ import annotations

from indexer.encodings import put_variants, small_variants
from indexer.entry import join_lines
from indexer.fence import Fence, Rendered
from indexer.kept_blocks import pieces_of
from indexer.known_versions import require_known_versions
from indexer.package_files import PackageFiles
from indexer.parts import Parts
from indexer.rows import VersionRow
from shared.blobs import archive_key, staging_prefix
from shared.concurrency import together
from shared.errors import StorageFailed
from shared.names import PackageName
from shared.stop_points import stop_at
from shared.storage.interface import Storage


async def look_at_package(parts: Parts, fence: Fence, files: PackageFiles) -> PackageFiles:
    """Look at what will be replaced, unless what was seen before the lock is that; return the files.

    Where files are not looked at before the lock, those of a new package are not looked at either, and what
    replaces nothing is put meanwhile. Raises DatabaseBehind if versions there have no row.
    """
    if parts.settings.stores_files:
        await _look(parts, fence, files)
    else:
        looks = () if files.is_first else (_look(parts, fence, files),)
        await together(_put_new(parts, fence, files), *looks)
    stop_at("after_look", parts.settings.test_stop_at)
    return files


async def _look(parts: Parts, fence: Fence, files: PackageFiles) -> None:
    index = fence.seen(files.index.key)
    is_newest = (0 if index is None else index.generation) == files.state.published_generation
    if not (is_newest and fence.has_looked_at(files.replaced_keys)):
        await fence.look(files.replaced_keys)
    await require_known_versions(parts.storage, fence, files.state)


async def put_package_files(parts: Parts, fence: Fence, files: PackageFiles) -> PackageFiles:
    """Put the files of a package, whose lock was proved after the look; return the files."""
    fence.require_not_newer(files.index.key, files.package.generation)
    if not parts.settings.stores_files:
        await _put_rest(parts, fence, files)
    elif not await _put_in_order(fence, files):
        await _put_new(parts, fence, files)
        await _put_replaced(parts, fence, files)
    stop_at("after_index_put", parts.settings.test_stop_at)
    await _put_removed(parts.storage, fence, files)
    return files


async def _put_in_order(fence: Fence, files: PackageFiles) -> bool:
    """Put all files of a package in one step. False: this is not possible; some may have been put."""
    body = join_lines(files.lines)
    variants = small_variants(fence, files.index, body)
    if variants is None:
        return False
    name = files.package.name
    copies = [(row.staging_key, archive_key(name, row.version)) for row in files.staged]
    documents = [*files.new_documents, *_replaced_documents(fence, files), files.page]
    then = [files.index, *variants]
    return await fence.put_in_order(copies, documents, then, files.package.generation)


async def _put_new(parts: Parts, fence: Fence, files: PackageFiles) -> None:
    """Put what replaces nothing: archives, and the documents of versions that had none."""
    generation = files.package.generation
    await together(
        _promote_staged(parts, files), *(fence.put(file, generation) for file in files.new_documents)
    )


async def _put_rest(parts: Parts, fence: Fence, files: PackageFiles) -> None:
    """Put what _put_new has not. Of a new package, look only if there are files where none should be.

    A publication that was cut off has left them, or a newer database. Variants are put after their index
    file, so where there is none of the latter, there are none.
    """
    if fence.has_looked_at([files.index.key]):
        await _put_replaced(parts, fence, files)
        return
    generation = files.package.generation
    first = (fence.put_first(file, generation) for file in (files.page, files.index))
    if not all(await together(*first)):
        await _look(parts, fence, files)
        await fence.prove()
        await _put_replaced(parts, fence, files)
        return
    await _put_variants(parts, fence, files)


async def _put_replaced(parts: Parts, fence: Fence, files: PackageFiles) -> None:
    """Put the files that may replace others: first those that the index file needs."""
    generation = files.package.generation
    await together(*(fence.put(file, generation) for file in _replaced_documents(fence, files)))
    await together(
        fence.put(files.page, generation),
        fence.put(files.index, generation),
        _put_variants(parts, fence, files),
    )


async def _put_variants(parts: Parts, fence: Fence, files: PackageFiles) -> None:
    lines = files.lines.values()
    size_bytes = sum(len(line) + 1 for line in lines)
    generation = files.package.generation
    await put_variants(fence, files.index, size_bytes, lambda: pieces_of(lines), generation, parts.blocks)


def _replaced_documents(fence: Fence, files: PackageFiles) -> list[Rendered]:
    """The documents of versions that may replace others."""
    lists = (file for file in files.advisory_lists if not fence.has(file))
    return [*files.replaced_documents, *lists]


async def _promote_staged(parts: Parts, files: PackageFiles) -> None:
    """Promote every staged archive."""
    await together(*(_promote(parts.storage, files.package.name, row) for row in files.staged))
    stop_at("after_promote", parts.settings.test_stop_at)


async def _promote(storage: Storage, name: PackageName, row: VersionRow) -> None:
    """Copy a staged archive to where readers find it, unless it is there. Other bytes are never replaced."""
    target = archive_key(name, row.version)
    if await storage.copy(row.staging_key, target, only_if_absent=True):
        return
    there = await storage.head(target)
    if there is None:
        raise StorageFailed(f"archive of {name} {row.version} is neither staged nor published")
    if there.digest != row.cksum:
        raise StorageFailed(f"archive of {name} {row.version} is published with other bytes, and stays so")


async def _put_removed(storage: Storage, fence: Fence, files: PackageFiles) -> None:
    """Replace the files of removed versions by empty ones, and delete their staged archives."""
    generation = files.package.generation
    await together(*(fence.put(file, generation) for file in files.removed if _is_left(fence, file.key)))
    staged = [key for row in files.package.removed for key in await staged_copies(storage, row.cksum)]
    await together(*map(storage.delete, staged))


def _is_left(fence: Fence, key: str) -> bool:
    """True unless an empty file has taken the place of a removed version's file.

    A file that is missing is replaced too, because a late request may still put it.
    """
    seen = fence.seen(key)
    return seen is None or not seen.is_removed


async def staged_copies(storage: Storage, sha256: str) -> list[str]:
    """The keys of all staged uploads of these bytes."""
    return [info.key async for info in storage.scan(staging_prefix(sha256))]
