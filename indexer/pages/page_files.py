"""Puts pages through a fence: those that differ, a few at a time, each with its compressed variants."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final, cast

from indexer.encodings import variant_keys, variants_of
from indexer.fence import Fence, Rendered
from shared.blobs import content_type_of
from shared.concurrency import together

PAGES_AT_ONCE: Final = 16
# One lock orders all puts of pages.
NO_GENERATION: Final = 0


async def put_all(fence: Fence, files: Iterator[tuple[str, bytes]]) -> list[str]:
    """Render files a few at a time, in a thread so that publications go on, and put those that differ."""
    keys: list[str] = []
    while some := await asyncio.to_thread(lambda: list(islice(files, PAGES_AT_ONCE))):
        keys += await put_differing(fence, [page_file(key, body) for key, body in some])
    return keys


async def put_differing(fence: Fence, files: Sequence[Rendered]) -> list[str]:
    """Put the files that differ from those in storage, with their variants. Returns their keys."""
    await fence.look(file.key for file in files)
    if not (changed := [file for file in files if not fence.has(file)]):
        return []
    await fence.look(key for file in changed for key in variant_keys(file.key))
    variants = await asyncio.to_thread(_variants, fence, changed)
    await fence.prove()
    if not await fence.put_in_order([], variants, changed, NO_GENERATION):
        for some in (variants, changed):
            await together(*(fence.put(file, NO_GENERATION) for file in some))
    return [file.key for file in changed]


async def empty(fence: Fence, keys: Sequence[str]) -> list[str]:
    """Replace the files that are there by empty ones, with their variants. Returns their keys."""
    every = [each for key in keys for each in (key, *variant_keys(key))]
    await fence.look(every)
    there = [key for key in every if (info := fence.seen(key)) is not None and not info.is_removed]
    if there:
        await fence.prove()
    await together(*(fence.put(page_file(key, b""), NO_GENERATION) for key in there))
    return [key for key in keys if key in there]


def _variants(fence: Fence, files: Sequence[Rendered]) -> list[Rendered]:
    """The variants of files, which are put before them: a file that is as it should be is not put again."""
    return [variant for file in files for variant in variants_of(fence, file, cast(bytes, file.body))]


def page_file(key: str, body: bytes) -> Rendered:
    """The file to put at a key."""
    return Rendered(key, body, content_type_of(key), hashlib.sha256(body).hexdigest())
