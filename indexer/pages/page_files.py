"""Puts pages through a fence: those that differ, a few at a time, each with its compressed variants."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final, cast

from indexer.encodings import put_variants, variant_keys
from indexer.fence import Fence, Rendered
from shared.blobs import content_type_of
from shared.concurrency import together

PAGES_AT_ONCE: Final = 16


async def put_all(fence: Fence, files: Iterator[tuple[str, bytes]]) -> list[str]:
    """Render files a few at a time, in a thread so that publications go on, and put those that differ."""
    keys: list[str] = []
    while some := await asyncio.to_thread(lambda: list(islice(files, PAGES_AT_ONCE))):
        keys += await put_differing(fence, [page_file(key, body) for key, body in some])
    return keys


async def put_differing(fence: Fence, files: Sequence[Rendered]) -> list[str]:
    """Put the files that differ from those in storage, with their variants. Returns their keys."""
    await fence.look(file.key for file in files)
    changed = [file for file in files if not fence.has(file)]
    await fence.look(key for file in changed for key in variant_keys(file.key))
    await fence.prove()
    await together(*(_put_file(fence, file) for file in changed))
    return [file.key for file in changed]


async def empty(fence: Fence, keys: Sequence[str]) -> list[str]:
    """Replace the files that are there by empty ones, with their variants. Returns their keys."""
    every = [each for key in keys for each in (key, *variant_keys(key))]
    await fence.look(every)
    there = [key for key in every if (info := fence.seen(key)) is not None and not info.is_removed]
    if there:
        await fence.prove()
    await together(*(fence.put(page_file(key, b""), 0) for key in there))
    return [key for key in keys if key in there]


async def _put_file(fence: Fence, file: Rendered) -> None:
    """Put a file and its variants. They have no generation, because one lock orders all puts of pages."""
    body = cast(bytes, file.body)
    await put_variants(fence, file, len(body), lambda: (body,), 0)
    await fence.put(file, 0)


def page_file(key: str, body: bytes) -> Rendered:
    """The file to put at a key."""
    return Rendered(key, body, content_type_of(key), hashlib.sha256(body).hexdigest())
