"""Maps errors of the S3 client to ours, and so decides which of them a retry may cure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from aiohttp import ClientError as TransportError
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
)
from botocore.parsers import ResponseParserError

from shared.errors import StorageFailed, StorageUnavailable

NOT_MODIFIED: Final = 304
CONFLICT: Final = 409
PRECONDITION_FAILED: Final = 412
RANGE_NOT_SATISFIABLE: Final = 416

# A missing bucket is a 404 too (NoSuchBucket), but it is the operator's mistake.
_ABSENT: Final = frozenset({"404", "NoSuchKey", "NotFound", "KeyTooLongError"})
# 409: two conditional writes at once; 412: the object was replaced under a read.
_PASSING_STATUS: Final = frozenset({408, 409, PRECONDITION_FAILED, 429})
_PASSING_CODE: Final = frozenset({"SlowDown", "RequestTimeout", "Throttling", "ThrottlingException"})
# No connection, a broken one, a timeout, or an answer that is not S3's, such as a proxy's error page; or no
# temporary credentials at the moment.
_UNREACHABLE: Final = (
    ConnectionError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    ResponseParserError,
    TransportError,
    OSError,
    TimeoutError,
)


def status_of(error: ClientError) -> int:
    """The HTTP status of an answer that is an error."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500))


def is_absent(error: ClientError) -> bool:
    """True when no object has the key."""
    return status_of(error) in (400, 404) and _code_of(error) in _ABSENT


def is_no_such_key(error: ClientError) -> bool:
    """True when no object has the key, so that there is nothing to replace."""
    return status_of(error) == 404 and _code_of(error) == "NoSuchKey"


def is_unexplained(error: ClientError) -> bool:
    """True for a refusal without a code: an answer to HEAD has no body."""
    return status_of(error) in (400, 403) and _code_of(error).isdecimal()


@contextmanager
def mapped_s3_errors() -> Iterator[None]:
    """Raise errors of the client as StorageUnavailable or StorageFailed; the cause is for the log."""
    try:
        yield
    except ClientError as error:
        if _is_passing(error):
            raise StorageUnavailable from error
        raise StorageFailed from error
    except _UNREACHABLE as error:
        raise StorageUnavailable from error
    except BotoCoreError as error:
        raise StorageFailed from error


def _is_passing(error: ClientError) -> bool:
    status = status_of(error)
    return status >= 500 or status in _PASSING_STATUS or _code_of(error) in _PASSING_CODE


def _code_of(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
