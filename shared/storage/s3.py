"""Object storage in an S3 bucket, on any server that speaks the protocol.

Each process has one pooled client. Digests are object metadata, which a server-side copy preserves.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import datetime
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from botocore.exceptions import ClientError

from shared.errors import StorageFailed, StorageUnavailable
from shared.settings import Settings
from shared.storage import s3_conditional_writes as writes
from shared.storage.digests import DigestMemo
from shared.storage.interface import BlobInfo, Found, Missing, NotModified, Opened
from shared.storage.keys import is_key, require_key, require_new_key
from shared.storage.os_errors import mapped_os_errors
from shared.storage.s3_client import Patience, new_client, parse_timestamp, patience_of
from shared.storage.s3_errors import (
    NOT_MODIFIED,
    RANGE_NOT_SATISFIABLE,
    is_absent,
    is_unexplained,
    mapped_s3_errors,
    status_of,
)
from shared.storage.s3_messages import (
    chunks,
    description,
    info_of,
    is_too_long,
    no_chunks,
    open_nameless,
)
from shared.storage.s3_order import in_byte_order, start_before

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client

PAGE_KEYS: Final = 1000


class S3Storage:
    """A bucket, or a prefix of one, as an object store."""

    def __init__(
        self, client: S3Client, bucket: str, prefix: str, total_s: float, stack: AsyncExitStack
    ) -> None:
        """Use connect(). total_s: time limit of an operation. stack: closes the client."""
        self._client = client
        self._total_s = total_s
        self._bucket = bucket
        self._prefix = prefix
        self._stack = stack
        self._digests = DigestMemo()

    @classmethod
    async def connect(cls, settings: Settings, patience: Patience | None = None) -> Self:
        """A store for the configured bucket. Nothing is asked of the server yet.

        patience: taken from the settings when None; tests pass their own. Raises StorageUnavailable and
        StorageFailed if there are no credentials.
        """
        patience = patience or patience_of(settings)
        if settings.s3_bucket is None:
            raise StorageFailed("S3 storage is not configured")
        stack = AsyncExitStack()
        with mapped_s3_errors():
            client = await stack.enter_async_context(new_client(settings, patience))
        return cls(client, settings.s3_bucket, settings.s3_prefix, patience.total_s, stack)

    async def get(self, key: str, *, if_revision: str | None = None) -> Found | NotModified | Missing:
        """The whole blob; NotModified when its revision still equals if_revision."""
        condition = {} if if_revision is None else {"IfNoneMatch": if_revision}
        async with self._operation():
            try:
                answer = await self._get_object(key, **condition)
            except ClientError as error:
                if if_revision is not None and status_of(error) == NOT_MODIFIED:
                    return NotModified(if_revision)
                raise
            if answer is None:
                return Missing()
            async with answer["Body"] as stream:
                body = await stream.read()  # raises if the body ends early
        info = info_of(key, answer)
        return Found(replace(info, digest=info.digest or hashlib.sha256(body).hexdigest()), body)

    async def head(self, key: str) -> BlobInfo | None:
        """The blob's info with its digest, or None."""
        if is_too_long(where := self._object(key)):
            return None
        async with self._operation():
            try:
                answer = await self._client.head_object(**where)
            except ClientError as error:
                if is_absent(error):
                    return None
                if is_unexplained(error):
                    await self._list_one()
                raise
        info = self._remembered(info_of(key, answer))
        return info if info.digest is not None else await self._digested(info)

    @asynccontextmanager
    async def open(
        self, key: str, *, start: int = 0, end: int | None = None
    ) -> AsyncIterator[Opened | Missing]:
        """Stream bytes start (inclusive) to end (exclusive; None: to the end)."""
        answer = await self._get_span(key, start, end)
        if answer is not None and self._remembered(info_of(key, answer)).digest is None:
            # Release this response first: if open responses hold every connection, none is left to compute a
            # digest.
            answer["Body"].close()
            info = await self._digested(info_of(key, answer))
            answer = await self._get_span(key, start, end, IfMatch=info.revision)
        if answer is None:
            missing_or_empty = await self.head(key)
            yield Missing() if missing_or_empty is None else Opened(missing_or_empty, no_chunks())
            return
        async with answer["Body"] as stream:
            yield Opened(self._remembered(info_of(key, answer)), chunks(stream, answer["ContentLength"]))

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        content_type: str,
        digest: str,
        identity_digest: str | None = None,
        generation: int = 0,
        only_if_absent: bool = False,
        if_revision: str | None = None,
    ) -> bool:
        """Write the blob, atomically and durably. False: a condition does not hold.

        A retry after a lost response sees its own object and returns False.
        """
        described = description(content_type, digest, identity_digest, generation)
        return await self._put(key, body, described, writes.conditions(only_if_absent, if_revision))

    async def put_file(
        self,
        key: str,
        path: Path,
        *,
        content_type: str,
        digest: str,
        identity_digest: str | None = None,
        generation: int = 0,
        only_if_absent: bool = False,
        if_revision: str | None = None,
    ) -> bool:
        """Write the blob from a local file, read as it is sent. False: a condition does not hold."""
        require_new_key(key)
        with mapped_os_errors():
            file = await asyncio.to_thread(open_nameless, path)
        with file:
            described = description(content_type, digest, identity_digest, generation)
            return await self._put(key, file, described, writes.conditions(only_if_absent, if_revision))

    async def put_in_order(self, *_: Any) -> bool:
        """S3 does one file in one request."""
        return False

    async def copy(self, source: str, target: str, *, only_if_absent: bool = False) -> bool:
        """Copy a blob inside the bucket, metadata included. False: no source, or there is a target."""
        origin, destination = self._object(source), self._object(require_new_key(target))
        if source == target:  # S3 refuses a copy onto itself
            return await self.head(source) is not None and not only_if_absent
        async with self._operation():
            return await writes.copy(
                self._client, origin, destination, writes.conditions(only_if_absent, None)
            )

    async def delete(self, key: str, *, if_revision: str | None = None) -> bool:
        """Remove the blob; a missing blob is no error. False: it has another revision."""
        async with self._operation():
            return await writes.delete(self._client, self._object(key), writes.conditions(False, if_revision))

    async def list(self, prefix: str, *, after: str | None = None) -> AsyncIterator[BlobInfo]:
        """Blobs in byte order of keys, also from a server that lists in another order (s3_order.py)."""
        pages = self._pages(prefix, start_before(after or ""))
        async for info in in_byte_order(pages, prefix):
            if info.key.encode() > (after or "").encode():
                yield info

    async def scan(self, prefix: str) -> AsyncIterator[BlobInfo]:
        """Blobs in the server's own order, a page at a time in memory."""
        async for page in self._pages(prefix, ""):
            for info in page:
                yield info

    async def now(self) -> datetime:
        """The time by the server's clock, from the Date header of an answer (RFC 9110, 6.6.1)."""
        answer = await self._any_answer()
        date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        if date is None:
            raise StorageFailed("S3 does not say what time it is: its answers have no Date")
        return parse_timestamp(date)

    async def check(self) -> None:
        """Raise unless the bucket answers."""
        await self._any_answer()

    async def close(self) -> None:
        """Release every connection."""
        await self._stack.aclose()

    @asynccontextmanager
    async def _operation(self) -> AsyncIterator[None]:
        """Limit an operation in time, and raise its errors as ours."""
        with mapped_s3_errors():
            async with asyncio.timeout(self._total_s):
                yield

    async def _any_answer(self) -> Any:
        """A short answer about the bucket."""
        async with self._operation():
            return await self._list_one()

    async def _list_one(self) -> Any:
        """A response as short as that to HEAD, but with a reason if it is a refusal. Raises ClientError."""
        return await self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix, MaxKeys=1)

    async def _put(self, key: str, body: bytes | BufferedReader, described: Any, condition: Any) -> bool:
        """Write an object. False: the condition does not hold."""
        where = self._object(require_new_key(key))
        async with self._operation():
            return await writes.put(self._client, where, body, described, condition)

    def _object(self, key: str) -> Any:
        return {"Bucket": self._bucket, "Key": f"{self._prefix}{require_key(key)}"}

    async def _get_object(self, key: str, **conditions: Any) -> Any:
        """The answer to a GET, with its body unread; None if no object has the key. Raises ClientError."""
        if is_too_long(where := self._object(key)):
            return None
        try:
            return await self._client.get_object(**where, **conditions)
        except ClientError as error:
            if is_absent(error):
                return None
            raise

    async def _get_span(self, key: str, start: int, end: int | None, **conditions: Any) -> Any:
        """The answer to a GET of these bytes; None if there is no object, or no byte in the span."""
        if end is not None and end <= start:
            return None
        if start > 0 or end is not None:
            conditions["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
        async with self._operation():
            try:
                return await self._get_object(key, **conditions)
            except ClientError as error:
                if status_of(error) == RANGE_NOT_SATISFIABLE:
                    return None
                raise

    async def _pages(self, prefix: str, start_after: str) -> AsyncIterator[Iterable[BlobInfo]]:
        """The pages of a listing, in the server's order."""
        behind: dict[str, Any] = {"StartAfter": f"{self._prefix}{start_after}"} if start_after else {}
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket,
            Prefix=f"{self._prefix}{prefix}",
            PaginationConfig={"PageSize": PAGE_KEYS},
            **behind,
        )
        pending = aiter(pages)
        while True:
            async with self._operation():
                page = await anext(pending, None)
            if page is None:
                return
            if "IsTruncated" not in page:
                raise StorageUnavailable("an answer that is no listing")  # from a proxy before S3
            listed = (self._listed(entry) for entry in page.get("Contents", ()))
            # SeaweedFS treats `a//` as `a/`.
            yield [info for info in listed if is_key(info.key) and info.key.startswith(prefix)]

    def _listed(self, entry: Any) -> BlobInfo:
        key = entry["Key"].removeprefix(self._prefix)
        return BlobInfo(key, entry["Size"], None, None, entry["ETag"], entry["LastModified"])

    def _remembered(self, info: BlobInfo) -> BlobInfo:
        """The info, with its digest if that is stored with the object or was computed before."""
        return replace(info, digest=info.digest or self._digests.get(info.key, info.revision))

    async def _digested(self, info: BlobInfo) -> BlobInfo:
        """The info with its digest, computed from the whole object if other software put it."""
        sha256 = hashlib.sha256()
        async with self._operation():
            answer = await self._client.get_object(**self._object(info.key), IfMatch=info.revision)
        async with answer["Body"] as stream:
            async for chunk in chunks(stream, info.size_bytes):
                sha256.update(chunk)
        self._digests.put(info.key, info.revision, sha256.hexdigest())
        return replace(info, digest=sha256.hexdigest())
