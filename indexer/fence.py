"""The fence: only a newer generation replaces a file of the published tree (docs/decisions/0030).

A worker looks at the file that it will replace, takes its lock or proves that it still holds it, and puts on
the condition that the file is still the one it saw. If the worker was paused in between and another worker
has put a newer file, its own put fails, however late it arrives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shared.concurrency import together
from shared.errors import DatabaseBehind, DatabaseUnavailable, StorageUnavailable
from shared.storage.interface import BlobInfo, NewFile, Storage
from shared.storage.replacing import put_over

TRIES: Final = 4


@dataclass(frozen=True, slots=True)
class Rendered:
    """A file to put. body: bytes, or the path of a file with them.

    digest: SHA-256 of the body, 64 hex digits. identity_digest: for a compressed variant, the digest of the
    body it was made from.
    """

    key: str
    body: bytes | Path
    content_type: str
    digest: str
    identity_digest: str | None = None


async def look(storage: Storage, keys: Iterable[str]) -> dict[str, BlobInfo | None]:
    """The present blobs by key, None where there is none."""
    wanted = list(keys)
    return dict(zip(wanted, await together(*map(storage.head, wanted)), strict=True))


class Fence:
    """Puts files for the holder of a lock."""

    def __init__(
        self,
        storage: Storage,
        prove_lock: Callable[[], Awaitable[None]],
        seen: Mapping[str, BlobInfo | None] | None = None,
    ) -> None:
        """prove_lock: a statement on its connection; raises DatabaseUnavailable if it is gone.

        seen: what `look` saw before the lock was taken, which needs no proof any more.
        """
        self._storage = storage
        self._prove_lock = prove_lock
        self._one_statement = asyncio.Lock()
        self._loss: DatabaseUnavailable | None = None
        self._seen = dict(seen or {})
        self._needs_proof = False

    async def look(self, keys: Iterable[str]) -> None:
        """Look at files that may be replaced. Prove the lock afterwards, before putting them.

        A file that was not looked at is expected not to exist.
        """
        self._needs_proof = True
        self._seen |= await look(self._storage, keys)

    def has_looked_at(self, keys: Iterable[str]) -> bool:
        """True if every file was looked at."""
        return all(key in self._seen for key in keys)

    def seen(self, key: str) -> BlobInfo | None:
        """The blob that was there at the look, or None."""
        return self._seen.get(key)

    def has(self, file: Rendered) -> bool:
        """True if the blob that was there at the look has this body."""
        seen = self._seen.get(file.key)
        return seen is not None and seen.digest == file.digest

    async def prove_looks(self) -> None:
        """Prove the lock, unless all that was seen was seen before the lock was taken."""
        if self._needs_proof:
            await self.prove()

    async def prove(self) -> None:
        """Raise DatabaseUnavailable if the lock is lost, because what was seen may be newer than our rows."""
        async with self._one_statement:
            if self._loss is not None:
                raise self._loss
            try:
                await self._prove_lock()
            except DatabaseUnavailable as loss:
                self._loss = loss
                raise
            except asyncio.CancelledError:
                # A cancelled statement ends its transaction, and the lock with it.
                self._loss = DatabaseUnavailable("a statement was cancelled, try again")
                raise

    def require_held(self) -> None:
        """Raise DatabaseUnavailable if the lock is known to be lost, or if a proof has not ended."""
        if self._loss is not None:
            raise self._loss
        if self._one_statement.locked():
            raise DatabaseUnavailable("the lock is being proved, try again")

    def require_not_newer(self, key: str, generation: int) -> None:
        """Raise DatabaseBehind if a newer file was seen. Call it only after proving the lock."""
        seen = self._seen.get(key)
        if seen is not None and seen.generation > generation:
            raise DatabaseBehind(
                f"{key} is of generation {seen.generation} in storage and of {generation} in the database"
            )

    async def put(self, file: Rendered, generation: int) -> None:
        """Replace the blob that was seen by a file of a generation.

        A worker that lost the lock may have put an older file since the look. In that case this looks again,
        proves the lock and replaces that file. Raises DatabaseUnavailable if the lock is lost, DatabaseBehind
        if there is a newer file although the lock is held, StorageUnavailable.
        """
        for _ in range(TRIES):
            self.require_not_newer(file.key, generation)
            if await self._is_put(file, generation):
                return
            there = await self._storage.head(file.key)
            if _is_ours(there, file, generation):
                return  # The answer to the put was lost, and the retry found its own file.
            await self.prove()
            self._seen[file.key] = there
        raise StorageUnavailable(f"{file.key} keeps changing, try again")

    async def put_first(self, file: Rendered, generation: int) -> bool:
        """Put a file that was not looked at, where there is none. False: one is there; look at it."""
        return file.key not in self._seen and await self._is_put(file, generation)

    async def put_in_order(
        self,
        copies: Sequence[tuple[str, str]],
        first: Sequence[Rendered],
        then: Sequence[Rendered],
        generation: int,
    ) -> bool:
        """Copy blobs and put files; once these are durable, put the others. All bodies are bytes.

        False: put them one by one, which finds out what is in the way. Some may have been put.
        """
        for file in (*first, *then):
            self.require_not_newer(file.key, generation)
        files = ([self._new_file(file, generation) for file in some] for some in (first, then))
        return await self._storage.put_in_order(copies, *files)

    def _new_file(self, file: Rendered, generation: int) -> NewFile:
        seen = self._seen.get(file.key)
        return NewFile(
            key=file.key,
            body=b"" if isinstance(file.body, Path) else file.body,
            content_type=file.content_type,
            digest=file.digest,
            identity_digest=file.identity_digest,
            generation=generation,
            only_if_absent=seen is None,
            if_revision=None if seen is None else seen.revision,
        )

    async def _is_put(self, file: Rendered, generation: int) -> bool:
        return await put_over(
            self._storage,
            file.key,
            file.body,
            self._seen.get(file.key),
            content_type=file.content_type,
            digest=file.digest,
            identity_digest=file.identity_digest,
            generation=generation,
        )


def _is_ours(there: BlobInfo | None, file: Rendered, generation: int) -> bool:
    wanted = (file.digest, file.identity_digest, generation)
    return there is not None and (there.digest, there.identity_digest, there.generation) == wanted
