"""Object storage in an S3 bucket, of any server that speaks the protocol.

One pooled client a process. Digests travel as object metadata, which a server-side copy keeps.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from aiohttp import ClientError as HttpClientError
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from shared.errors import StorageFailed, StorageUnavailable
from shared.settings import Settings
from shared.storage.digests import DigestMemo
from shared.storage.interface import BlobInfo, Found, Missing, NotModified, Opened
from shared.storage.keys import require_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_aiobotocore_s3.client import S3Client

CONNECT_TIMEOUT_S: Final = 3
READ_TIMEOUT_S: Final = 20
ATTEMPTS: Final = 3
CONNECTIONS: Final = 64
CHUNK_BYTES: Final = 256 * 1024
DIGEST: Final = "sha256"
IDENTITY: Final = "identity"
ABSENT: Final = frozenset({"404", "NoSuchKey", "NotFound"})
RETRY_CODES: Final = frozenset({"SlowDown", "RequestTimeout", "Throttling", "ThrottlingException"})


class S3Storage:
    """A bucket, or a prefix of one, as object store."""

    def __init__(self, client: S3Client, bucket: str, prefix: str, stack: AsyncExitStack) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix
        self._stack = stack
        self._digests = DigestMemo()

    @classmethod
    async def connect(cls, settings: Settings) -> Self:
        """A client for the configured bucket; nothing is asked of the server yet."""
        secret = settings.s3_secret_access_key
        if settings.s3_bucket is None or secret is None:
            raise StorageFailed("S3 storage is not configured")
        stack = AsyncExitStack()
        config = AioConfig(
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
            max_pool_connections=CONNECTIONS,
            s3={"addressing_style": "path" if settings.s3_force_path_style else "auto"},
            # Other servers than AWS do not know the checksum trailers that newer clients send.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        client = await stack.enter_async_context(
            get_session().create_client(
                "s3",
                region_name=settings.s3_region,
                endpoint_url=settings.s3_endpoint,
                aws_access_key_id=settings.s3_access_key_id,
                aws_secret_access_key=secret.get_secret_value(),
                config=config,
            )
        )
        return cls(client, settings.s3_bucket, settings.s3_prefix, stack)

    async def get(self, key: str, *, if_revision: str | None = None) -> Found | NotModified | Missing:
        """The whole blob; NotModified when its revision still equals if_revision."""
        condition: dict[str, Any] = {} if if_revision is None else {"IfNoneMatch": if_revision}
        with _mapped_errors():
            try:
                answer = await self._client.get_object(**self._object(key), **condition)
                async with answer["Body"] as stream:
                    body = await stream.read()
            except ClientError as error:
                if _status(error) == 304 and if_revision is not None:
                    return NotModified(if_revision)
                if _is_absent(error):
                    return Missing()
                raise
        if len(body) != answer["ContentLength"]:
            raise StorageUnavailable("blob ended early")
        info = _info(key, answer)
        digest = info.digest or hashlib.sha256(body).hexdigest()
        return Found(_with_digest(info, digest), body)

    async def head(self, key: str) -> BlobInfo | None:
        """What is known of the blob, its digest included, or None."""
        with _mapped_errors():
            try:
                info = _info(key, await self._client.head_object(**self._object(key)))
            except ClientError as error:
                if _is_absent(error):
                    return None
                raise
        return await self._known(info)

    @asynccontextmanager
    async def open(
        self, key: str, *, start: int = 0, end: int | None = None
    ) -> AsyncIterator[Opened | Missing]:
        """Stream bytes start (inclusive) to end (exclusive; None: to the end)."""
        info = await self.head(key)
        if info is None:
            yield Missing()
            return
        stop = info.size_bytes if end is None else min(end, info.size_bytes)
        if start >= stop:
            yield Opened(info, _nothing())
            return
        span: dict[str, Any] = {"Range": f"bytes={start}-{stop - 1}", "IfMatch": info.revision}
        with _mapped_errors():
            answer = await self._client.get_object(**self._object(key), **span)
        async with answer["Body"] as stream:
            yield Opened(info, _chunks(stream, stop - start))

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        content_type: str,
        digest: str,
        identity_digest: str | None = None,
        only_if_absent: bool = False,
    ) -> bool:
        """Write the blob, atomically and durably. False: only_if_absent was set and it exists."""
        metadata = {DIGEST: digest} | ({IDENTITY: identity_digest} if identity_digest is not None else {})
        condition: dict[str, Any] = {"IfNoneMatch": "*"} if only_if_absent else {}
        with _mapped_errors():
            try:
                await self._client.put_object(
                    **self._object(key), Body=body, ContentType=content_type, Metadata=metadata, **condition
                )
            except ClientError as error:
                if only_if_absent and _status(error) in (409, 412):
                    return False
                raise
        return True

    async def put_file(self, key: str, path: Path, *, content_type: str, digest: str) -> None:
        """Write the blob from a local file, read as it is sent."""
        with _mapped_errors(), path.open("rb") as file:
            await self._client.put_object(
                **self._object(key), Body=file, ContentType=content_type, Metadata={DIGEST: digest}
            )

    async def copy(self, source: str, target: str) -> bool:
        """Copy a blob inside the bucket, replacing target, metadata included. False: no source."""
        origin = self._object(source)
        with _mapped_errors():
            try:
                await self._client.copy_object(
                    **self._object(target), CopySource=origin, MetadataDirective="COPY"
                )
            except ClientError as error:
                if _is_absent(error):
                    return False
                raise
        return True

    async def delete(self, key: str) -> None:
        """Remove the blob; absence is not an error."""
        with _mapped_errors():
            try:
                await self._client.delete_object(**self._object(key))
            except ClientError as error:
                if not _is_absent(error):
                    raise

    async def list(self, prefix: str, *, after: str | None = None) -> AsyncIterator[BlobInfo]:
        """Blobs in byte order of keys, a page of 1,000 at a time."""
        behind: dict[str, Any] = {} if after is None else {"StartAfter": f"{self._prefix}{after}"}
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=f"{self._prefix}{prefix}", **behind
        )
        with _mapped_errors():
            async for page in pages:
                for entry in page.get("Contents", ()):
                    key = entry["Key"].removeprefix(self._prefix)
                    yield BlobInfo(key, entry["Size"], None, None, entry["ETag"], entry["LastModified"])

    async def check(self) -> None:
        """Raise unless the bucket answers."""
        with _mapped_errors():
            await self._client.head_bucket(Bucket=self._bucket)

    async def close(self) -> None:
        """Release every connection."""
        await self._stack.aclose()

    def _object(self, key: str) -> Any:
        return {"Bucket": self._bucket, "Key": f"{self._prefix}{require_key(key)}"}

    async def _known(self, info: BlobInfo) -> BlobInfo:
        """The info with its digest: computed once for an object that was put by something else."""
        digest = info.digest or self._digests.get(info.key, info.revision)
        if digest is None:
            with _mapped_errors():
                answer = await self._client.get_object(**self._object(info.key), IfMatch=info.revision)
            sha256 = hashlib.sha256()
            async with answer["Body"] as stream:
                async for chunk in _chunks(stream, info.size_bytes):
                    sha256.update(chunk)
            digest = sha256.hexdigest()
            self._digests.put(info.key, info.revision, digest)
        return _with_digest(info, digest)


async def _chunks(stream: Any, size_bytes: int) -> AsyncIterator[bytes]:
    """The body in pieces. Raises StorageUnavailable when it ends before size_bytes."""
    left = size_bytes
    with _mapped_errors():
        while left > 0 and (chunk := await stream.read(CHUNK_BYTES)):
            left -= len(chunk)
            yield chunk
    if left > 0:
        raise StorageUnavailable("blob ended early")


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""


def _info(key: str, answer: Mapping[str, Any]) -> BlobInfo:
    metadata = answer.get("Metadata", {})
    return BlobInfo(
        key=key,
        size_bytes=answer["ContentLength"],
        digest=metadata.get(DIGEST),
        identity_digest=metadata.get(IDENTITY),
        revision=answer["ETag"],
        modified_at=answer["LastModified"],
    )


def _with_digest(info: BlobInfo, digest: str) -> BlobInfo:
    return BlobInfo(info.key, info.size_bytes, digest, info.identity_digest, info.revision, info.modified_at)


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500))


def _is_absent(error: ClientError) -> bool:
    """True for a missing object. A missing bucket is a 404 too, but a fault of the operator's."""
    code = error.response.get("Error", {}).get("Code", "")
    return _status(error) == 404 and code in ABSENT


@contextmanager
def _mapped_errors() -> Iterator[None]:
    """The client's errors as ours; what the server said stays in the cause, for the log."""
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if _status(error) >= 500 or _status(error) in (408, 412, 429) or code in RETRY_CODES:
            raise StorageUnavailable from error
        raise StorageFailed from error
    except (HTTPClientError, BotoCoreError, HttpClientError, OSError, TimeoutError) as error:
        raise StorageUnavailable from error
