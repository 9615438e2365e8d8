"""Conditional writes in S3: a put, copy or delete that the server refuses if the object is another by now.

Each returns False if its condition does not hold. They raise ClientError for every other refusal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from io import BufferedReader
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from shared.storage.s3_errors import CONFLICT, PRECONDITION_FAILED, is_absent, is_no_such_key, status_of
from shared.storage.s3_messages import is_too_long

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client

# Two conditional writes of one key at once get ConditionalRequestConflict; both may be retried.
RIVAL_PAUSES_S: Final = (0.05, 0.2, 0.8)


def conditions(only_if_absent: bool, if_revision: str | None) -> Any:
    """The parameters of a conditional write."""
    absent = {"IfNoneMatch": "*"} if only_if_absent else {}
    return absent if if_revision is None else absent | {"IfMatch": if_revision}


async def put(
    client: S3Client, where: Any, body: bytes | BufferedReader, described: Any, condition: Any
) -> bool:
    """Write an object. A retry after a lost response sees its own object and returns False."""

    async def write() -> None:
        if not isinstance(body, bytes):
            body.seek(0)
        await client.put_object(**where, Body=body, **described, **condition)

    try:
        await _despite_rivals(write)
    except ClientError as error:
        # AWS answers 404 when there is no object that could have the revision.
        if condition and (status_of(error) == PRECONDITION_FAILED or is_no_such_key(error)):
            return False
        raise
    return True


async def copy(client: S3Client, origin: Any, where: Any, condition: Any) -> bool:
    """Copy an object inside the bucket, metadata included. False also if there is no source."""
    try:
        await _despite_rivals(
            partial(client.copy_object, **where, CopySource=origin, MetadataDirective="COPY", **condition)
        )
    except ClientError as error:
        if condition and status_of(error) == PRECONDITION_FAILED:
            return False
        if is_absent(error) and not is_too_long(where):
            return False
        raise
    return True


async def delete(client: S3Client, where: Any, condition: Any) -> bool:
    """Remove an object. A missing one is no error without a condition, and does not meet any."""
    try:
        await _despite_rivals(partial(client.delete_object, **where, **condition))
    except ClientError as error:
        if condition and status_of(error) == PRECONDITION_FAILED:
            return False
        if not is_absent(error):
            raise
        return not condition
    return True


async def _despite_rivals(write: Callable[[], Awaitable[object]]) -> None:
    """Write; try again a few times if another write of the key is under way. Raises ClientError."""
    for pause_s in RIVAL_PAUSES_S:
        try:
            await write()
        except ClientError as error:
            if status_of(error) != CONFLICT:
                raise
        else:
            return
        await asyncio.sleep(pause_s)
    await write()
