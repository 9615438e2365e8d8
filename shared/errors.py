"""Typed errors of the domain; shared.http.error_response turns them into answers.

Each class has the HTTP status and the stable code of the contract (section 2.5).
Raise them where the fact is known; never catch them in a handler.

This module has the base class and the errors that any route may answer; errors of one topic are in
credential_errors.py, sign_in_errors.py and publish_errors.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

from shared.text import rust_quote


class RegistryError(Exception):
    """Base of every error that has an answer.

    status: HTTP status, 400 to 599. code: stable, `X07REG_…`. message: for humans.
    retry_after_s: seconds until another attempt may work; None if none will.
    headers: extra response headers, lower-case names; default_headers: those of every error of the class.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "X07REG_INTERNAL"
    default_message: ClassVar[str] = "internal error"
    default_headers: ClassVar[Mapping[str, str]] = {}
    retry_after_s: int | None = None

    def __init__(self, message: str | None = None, *, headers: dict[str, str] | None = None) -> None:
        self.message = self.default_message if message is None else message
        self.headers = {**self.default_headers, **(headers or {})}
        super().__init__(self.message)


class AnswerCut(Exception):
    """The rest of an answer cannot be read.

    Its connection must end, so that half an answer does not look whole.

    code: of the error that was the cause. It is not a RegistryError, because nothing more can be answered.

    """

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


class Internal(RegistryError):
    """The server failed unexpectedly; its log has the details under the request id."""


class BadRequest(RegistryError):
    """The request does not parse: query, path parameter, percent-encoding or JSON."""

    status = 400
    code = "X07REG_BAD_REQUEST"
    default_message = "bad request"


class NotFound(RegistryError):
    """The named thing does not exist."""

    status = 404
    code = "X07REG_NOT_FOUND"
    default_message = "not found"

    @classmethod
    def package(cls, name: str) -> Self:
        """No package has this name."""
        return cls(f"package {rust_quote(name)} not found")

    @classmethod
    def version(cls, name: str, version: str) -> Self:
        """The package has no such version, or does not exist."""
        return cls(f"version {rust_quote(version)} of package {rust_quote(name)} not found")

    @classmethod
    def removed_version(cls, name: str, version: str) -> Self:
        """The package had this version until an operator removed it for legal reasons."""
        return cls(f"version {rust_quote(version)} of package {rust_quote(name)} was removed")

    @classmethod
    def path(cls, path: str) -> Self:
        """Nothing is at this path, which is percent-decoded and begins with a slash."""
        return cls(f"path {rust_quote(path)} not found")


class IndexNotFound(NotFound):
    """No index file has this name."""

    code = "X07REG_INDEX_NOT_FOUND"


class IndexPathInvalid(RegistryError):
    """The path below /index/ is not the one spelling of a shard path."""

    status = 400
    code = "X07REG_INDEX_PATH_INVALID"
    default_message = "invalid index path"


class InvalidArchetype(RegistryError):
    """The name of an archetype is blank."""

    status = 400
    code = "X07REG_INVALID_ARCHETYPE"
    default_message = "archetype name is required"


class MethodNotAllowed(RegistryError):
    """The path exists, the method does not (RFC 9110, 15.5.6); carries `allow`."""

    status = 405
    code = "X07REG_METHOD_NOT_ALLOWED"
    default_message = "method not allowed"


class BodyTooSlow(RegistryError):
    """The client sent the body of its request too slowly (RFC 9110, 15.5.9); the connection closes."""

    status = 408
    code = "X07REG_BODY_TOO_SLOW"
    default_message = "request body came too slowly"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message, headers={"connection": "close"})


class PayloadTooLarge(RegistryError):
    """The JSON body is larger than 2 MiB."""

    status = 413
    code = "X07REG_PAYLOAD_TOO_LARGE"
    default_message = "request body too large"


class RangeNotSatisfiable(RegistryError):
    """No byte of the range exists (RFC 9110, 15.5.17); carries `content-range`."""

    status = 416
    code = "X07REG_RANGE_NOT_SATISFIABLE"
    default_message = "range not satisfiable"


class UnsupportedMediaType(RegistryError):
    """The body of this route must be JSON, with the content type application/json."""

    status = 415
    code = "X07REG_UNSUPPORTED_MEDIA_TYPE"
    default_message = "expected content-type: application/json"


class UnprocessableBody(RegistryError):
    """The JSON body has the wrong shape: a missing field, a wrong type, an unknown enum value."""

    status = 422
    code = "X07REG_UNPROCESSABLE_BODY"
    default_message = "unexpected JSON body"


class Forbidden(RegistryError):
    """The caller is known, but may not do this."""

    status = 403
    code = "X07REG_FORBIDDEN"
    default_message = "forbidden"


class AdvisoryInvalid(RegistryError):
    """The text of an advisory is empty, too long or misleading, or its URL is not one (contract, 6.4)."""

    status = 400
    code = "X07REG_ADVISORY_INVALID"
    default_message = "invalid advisory"


class TooManyAdvisories(RegistryError):
    """The version has as many advisories, or as much text in them, as a version may have."""

    status = 409
    code = "X07REG_TOO_MANY_ADVISORIES"
    default_message = "too many advisories"


class Conflict(RegistryError):
    """The request conflicts with something that exists already."""

    status = 409
    code = "X07REG_CONFLICT"
    default_message = "conflict"


class DatabaseFailed(RegistryError):
    """Postgres refused a statement that should have worked."""

    code = "X07REG_DB"
    default_message = "database error"


class DatabaseCorrupt(RegistryError):
    """A stored row holds a value that cannot be rendered."""

    code = "X07REG_DB_CORRUPT"
    default_message = "stored data is corrupt"


class MetadataCorrupt(RegistryError):
    """A stored manifest lacks a required field."""

    code = "X07REG_META_CORRUPT"
    default_message = "stored manifest is corrupt"


class StorageFailed(RegistryError):
    """Object storage refused a request that should have worked; trying again will not help."""

    code = "X07REG_STORAGE"
    default_message = "storage error"


class LogDiverged(RegistryError):
    """Storage and database disagree about the transparency log; an operator has to repair it."""

    code = "X07REG_LOG_DIVERGED"
    default_message = "storage and database disagree about the transparency log"


class RateLimited(RegistryError):
    """One address or one credential made too many attempts within a minute (RFC 6585, 4)."""

    status = 429
    code = "X07REG_RATE_LIMITED"
    default_message = "too many attempts, try again later"

    def __init__(self, message: str | None = None, *, retry_after_s: int = 60) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TornBlob(StorageFailed):
    """A stored file has lost some of its bytes, through a power cut or a failing disk.

    The message names the file.
    """


class Unavailable(RegistryError):
    """A dependency does not answer; the same request may work later (RFC 9110, 15.6.4)."""

    status = 503
    code = "X07REG_UNAVAILABLE"
    default_message = "temporarily unavailable, try again"

    def __init__(self, message: str | None = None, *, retry_after_s: int = 2) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class DatabaseUnavailable(Unavailable):
    """Postgres is out of reach, restarting, or out of connections."""

    default_message = "database unavailable, try again"


class PackageBusy(DatabaseUnavailable):
    """Another process has been changing or publishing the package for too long."""

    default_message = "another change of this package is not finished, try again"


class DatabaseBehind(Unavailable):
    """The database is older than the published tree, as after a restore; nothing may be published from it."""

    def __init__(self, evidence: str) -> None:
        """evidence: a clause that says how this was noticed."""
        super().__init__(
            f"the database is older than the published tree: {evidence}; nothing is published until "
            "`x07-registry rebuild-from-tree` has put back what storage knows (docs/backup.md)",
            retry_after_s=60,
        )


class StorageUnavailable(Unavailable):
    """Object storage is out of reach or answers 5xx."""

    default_message = "storage unavailable, try again"
