"""Typed errors of the domain; shared.http.error_response turns them into answers.

Each class carries the HTTP status and the stable code of the contract (section 2.5).
Raise them where the fact is known; never catch them in a handler.
"""

from __future__ import annotations

from typing import ClassVar


class RegistryError(Exception):
    """Base of every error that has an answer.

    status: HTTP status, 400 to 599. code: stable, `X07REG_…`. message: for humans.
    headers: extra response headers, lower-case names.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "X07REG_INTERNAL"
    default_message: ClassVar[str] = "internal error"

    def __init__(self, message: str | None = None, *, headers: dict[str, str] | None = None) -> None:
        self.message = self.default_message if message is None else message
        self.headers = headers or {}
        super().__init__(self.message)


class AnswerCut(Exception):
    """The rest of an answer cannot be had; its connection must end, so that no half looks whole.

    code: of the error behind it. No RegistryError: nothing more can be answered.
    """

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


class Internal(RegistryError):
    """Something that cannot happen did; details are in the log, not in the answer."""


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


class IndexNotFound(RegistryError):
    """No index file has this name."""

    status = 404
    code = "X07REG_INDEX_NOT_FOUND"
    default_message = "not found"


class IndexPathInvalid(RegistryError):
    """The path below /index/ is not the one spelling of a shard path."""

    status = 400
    code = "X07REG_INDEX_PATH_INVALID"
    default_message = "invalid index path"


class InvalidName(RegistryError):
    """A package name or a handle breaks the name rule (contract, 1.8)."""

    status = 400
    code = "X07REG_INVALID_NAME"
    default_message = "invalid name"


class InvalidVersion(RegistryError):
    """A version is not strict SemVer 2.0.0 (contract, 1.8)."""

    status = 400
    code = "X07REG_INVALID_VERSION"
    default_message = "invalid version"


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


class PayloadTooLarge(RegistryError):
    """A JSON body over 2 MiB."""

    status = 413
    code = "X07REG_PAYLOAD_TOO_LARGE"
    default_message = "request body too large"


class RangeNotSatisfiable(RegistryError):
    """No byte of the range exists (RFC 9110, 15.5.17); carries `content-range`."""

    status = 416
    code = "X07REG_RANGE_NOT_SATISFIABLE"
    default_message = "range not satisfiable"


class UnsupportedMediaType(RegistryError):
    """A JSON route was sent something else."""

    status = 415
    code = "X07REG_UNSUPPORTED_MEDIA_TYPE"
    default_message = "expected content-type: application/json"


class UnprocessableBody(RegistryError):
    """JSON of the wrong shape: a missing field, a wrong type, an unknown enum value."""

    status = 422
    code = "X07REG_UNPROCESSABLE_BODY"
    default_message = "unexpected JSON body"


class AuthRequired(RegistryError):
    """No credential was sent (RFC 9110, 11.6.1)."""

    status = 401
    code = "X07REG_AUTH_REQUIRED"
    default_message = "missing Authorization header"


class AuthInvalid(RegistryError):
    """The credential is unknown or revoked."""

    status = 401
    code = "X07REG_AUTH_INVALID"
    default_message = "invalid token"


class Forbidden(RegistryError):
    """The caller is known and may not do this."""

    status = 403
    code = "X07REG_FORBIDDEN"
    default_message = "forbidden"


class EmailUnverified(RegistryError):
    """Publishing needs a verified GitHub e-mail address."""

    status = 403
    code = "X07REG_EMAIL_UNVERIFIED"
    default_message = "verified email required to publish"


class AlreadyPublished(RegistryError):
    """The version exists; versions are immutable."""

    status = 409
    code = "X07REG_ALREADY_PUBLISHED"
    default_message = "package version already exists"


class BodyTooLarge(RegistryError):
    """An archive over the size limit, or an upload that broke off. 400, not 413: clients know it so."""

    status = 400
    code = "X07REG_BODY_TOO_LARGE"
    default_message = "request body too large"


class BadArchive(RegistryError):
    """The upload is not the tar archive that the contract describes (4.2)."""

    status = 400
    code = "X07REG_BAD_ARCHIVE"
    default_message = "bad archive"


class BadManifest(RegistryError):
    """x07-package.json does not parse or breaks a rule of 4.3 or 4.5."""

    status = 400
    code = "X07REG_BAD_MANIFEST"
    default_message = "bad manifest"


class SchemaVersionUnsupported(RegistryError):
    """The manifest's schema_version is not x07.package@0.1.0."""

    status = 400
    code = "X07REG_PKG_SCHEMA_VERSION"


class DescriptionRequired(RegistryError):
    """The manifest has no description."""

    status = 400
    code = "X07REG_PKG_DESCRIPTION_REQUIRED"
    default_message = "package description is required"


class DocsRequired(RegistryError):
    """The manifest has no docs."""

    status = 400
    code = "X07REG_PKG_DOCS_REQUIRED"
    default_message = "package docs is required"


class LicenseRequired(RegistryError):
    """The manifest has no license."""

    status = 400
    code = "X07REG_PKG_LICENSE_REQUIRED"
    default_message = "package license is required"


class CompatRequired(RegistryError):
    """The manifest has no meta.x07c_compat."""

    status = 400
    code = "X07REG_PKG_X07C_COMPAT_REQUIRED"
    default_message = "package meta.x07c_compat is required"


class CompatInvalid(RegistryError):
    """meta.x07c_compat is not a version requirement (contract, 4.4)."""

    status = 400
    code = "X07REG_PKG_X07C_COMPAT_INVALID"
    default_message = "invalid meta.x07c_compat"


class PublishLintFailed(RegistryError):
    """A module is not well-formed x07AST, or does not lint (contract, 4.6 and 4.7)."""

    status = 400
    code = "X07REG_PUBLISH_LINT_FAILED"


class InvalidScaleMeta(RegistryError):
    """A scale key of the manifest has a wrong type or value (contract, 4.8)."""

    status = 400
    code = "X07REG_INVALID_SCALE_META"
    default_message = "invalid scale metadata"


class InvalidScaleEvidence(RegistryError):
    """A scale evidence reference is not an allowed URL (contract, 6.5)."""

    status = 400
    code = "X07REG_INVALID_SCALE_EVIDENCE"
    default_message = "invalid scale evidence reference"


class ScopeInvalid(RegistryError):
    """A token was asked for with a scope that does not exist."""

    status = 400
    code = "X07REG_SCOPE_INVALID"
    default_message = "invalid scope"


class TokenGenerationFailed(RegistryError):
    """A new secret was in use already: the random source is broken."""

    code = "X07REG_TOKEN_GENERATION_FAILED"
    default_message = "token generation failed"


class AdvisoryInvalid(RegistryError):
    """The text of an advisory is empty, too long, or its URL is not one (contract, 6.4)."""

    status = 400
    code = "X07REG_ADVISORY_INVALID"
    default_message = "invalid advisory"


class Conflict(RegistryError):
    """Something else is there already and cannot be replaced."""

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
    """Object storage refused a request that should have worked; a retry will not help."""

    code = "X07REG_STORAGE"
    default_message = "storage error"


class RateLimited(RegistryError):
    """Too many attempts within a minute, of one address or one credential (RFC 6585, 4)."""

    status = 429
    code = "X07REG_RATE_LIMITED"
    default_message = "too many attempts, try again later"

    def __init__(self, message: str | None = None, *, retry_after_s: int = 60) -> None:
        super().__init__(message, headers={"retry-after": str(retry_after_s)})


class TornBlob(StorageFailed):
    """A stored file lost some of its bytes: a power cut, a disk. Its message names it."""


class Unavailable(RegistryError):
    """A dependency is out of reach; a retry may work (RFC 9110, 15.6.4)."""

    status = 503
    code = "X07REG_UNAVAILABLE"
    default_message = "temporarily unavailable, try again"

    def __init__(self, message: str | None = None, *, retry_after_s: int = 2) -> None:
        super().__init__(message, headers={"retry-after": str(retry_after_s)})


class DatabaseUnavailable(Unavailable):
    """Postgres is out of reach, restarting, or out of connections."""

    default_message = "database unavailable, try again"


class StorageUnavailable(Unavailable):
    """Object storage is out of reach or answers 5xx."""

    default_message = "storage unavailable, try again"


class AuthExpired(RegistryError):
    """The web session is over."""

    status = 401
    code = "X07REG_AUTH_EXPIRED"
    default_message = "session expired"


class CsrfOriginRequired(RegistryError):
    """A cookie-authenticated write came without an Origin header."""

    status = 403
    code = "X07REG_CSRF_ORIGIN_REQUIRED"
    default_message = "missing Origin header"


class CsrfOriginForbidden(RegistryError):
    """A cookie-authenticated write came from an origin that is not in the CORS list."""

    status = 403
    code = "X07REG_CSRF_ORIGIN_FORBIDDEN"
    default_message = "origin not allowed"


class CsrfRequired(RegistryError):
    """A cookie-authenticated write came without the session's CSRF token."""

    status = 403
    code = "X07REG_CSRF_REQUIRED"
    default_message = "missing x-x07-csrf header"


class CsrfInvalid(RegistryError):
    """A cookie-authenticated write came with another session's CSRF token, or none that exists."""

    status = 403
    code = "X07REG_CSRF_INVALID"
    default_message = "invalid CSRF token"


class NextInvalid(RegistryError):
    """Where to return after sign-in is not a path of the web UI."""

    status = 400
    code = "X07REG_AUTH_NEXT_INVALID"
    default_message = "next must be a path that starts with one /"


class GithubOauthDisabled(RegistryError):
    """This registry has no GitHub sign-in."""

    status = 400
    code = "X07REG_GITHUB_OAUTH_DISABLED"
    default_message = "GitHub sign-in is not configured"


class OauthFailed(RegistryError):
    """GitHub sent the browser back with an error (RFC 6749, 4.1.2.1)."""

    status = 400
    code = "X07REG_GITHUB_OAUTH_FAILED"
    default_message = "sign-in failed"


class OauthCodeMissing(RegistryError):
    """The callback has no `code`."""

    status = 400
    code = "X07REG_GITHUB_OAUTH_CODE_MISSING"
    default_message = "missing code"


class OauthStateMissing(RegistryError):
    """The callback has no `state`."""

    status = 400
    code = "X07REG_GITHUB_OAUTH_STATE_MISSING"
    default_message = "missing state"


class OauthStateInvalid(RegistryError):
    """The sign-in attempt is unknown, was used, or was begun in another browser."""

    status = 400
    code = "X07REG_GITHUB_OAUTH_STATE_INVALID"
    default_message = "invalid state; start signing in again"


class OauthStateExpired(RegistryError):
    """The sign-in attempt took too long."""

    status = 400
    code = "X07REG_GITHUB_OAUTH_STATE_EXPIRED"
    default_message = "state expired; start signing in again"


class OauthTokenRequestFailed(RegistryError):
    """GitHub could not be asked for an access token."""

    status = 502
    code = "X07REG_GITHUB_OAUTH_TOKEN_REQUEST_FAILED"
    default_message = "GitHub token request failed"


class OauthTokenResponseInvalid(RegistryError):
    """GitHub's answer to the token request is not the expected JSON."""

    status = 502
    code = "X07REG_GITHUB_OAUTH_TOKEN_RESPONSE_INVALID"
    default_message = "GitHub token response invalid"


class OauthTokenExchangeFailed(RegistryError):
    """GitHub gave no access token for the code; the message is GitHub's."""

    status = 502
    code = "X07REG_GITHUB_OAUTH_TOKEN_EXCHANGE_FAILED"
    default_message = "token exchange failed"


class OauthUserRequestFailed(RegistryError):
    """GitHub did not tell who signed in."""

    status = 502
    code = "X07REG_GITHUB_OAUTH_USER_REQUEST_FAILED"
    default_message = "GitHub user request failed"


class OauthUserResponseInvalid(RegistryError):
    """GitHub's answer about the user is not the expected JSON."""

    status = 502
    code = "X07REG_GITHUB_OAUTH_USER_RESPONSE_INVALID"
    default_message = "GitHub user response invalid"


class OauthEmailsRequestFailed(RegistryError):
    """GitHub did not tell the user's addresses."""

    status = 502
    code = "X07REG_GITHUB_OAUTH_EMAILS_REQUEST_FAILED"
    default_message = "GitHub emails request failed"


class OauthEmailsResponseInvalid(RegistryError):
    """GitHub's answer about the user's addresses is not the expected JSON."""

    status = 502
    code = "X07REG_GITHUB_OAUTH_EMAILS_RESPONSE_INVALID"
    default_message = "GitHub emails response invalid"


class HandleTaken(RegistryError):
    """The GitHub login is the handle of an account that may not be taken over."""

    status = 409
    code = "X07REG_GITHUB_HANDLE_TAKEN"
    default_message = "handle is taken by another account"
