"""Errors of publishing: the name, the archive, its manifest and its modules."""

from __future__ import annotations

from typing import Self

from shared.errors import RegistryError
from shared.text import rust_quote


class InvalidName(RegistryError):
    """A package name or a handle does not follow the rules for names (contract, 1.8)."""

    status = 400
    code = "X07REG_INVALID_NAME"
    default_message = "invalid name"


class NameReserved(RegistryError):
    """No new package may have this name: a device on Windows, or a route of the registry."""

    status = 409
    code = "X07REG_NAME_RESERVED"
    default_message = "name is reserved"


class NameTooSimilar(RegistryError):
    """The name of a new package looks like that of somebody else's package, which the message names."""

    status = 409
    code = "X07REG_NAME_TOO_SIMILAR"
    default_message = "name is too similar to another package's"


class InvalidVersion(RegistryError):
    """A version is not strict SemVer 2.0.0 (contract, 1.8)."""

    status = 400
    code = "X07REG_INVALID_VERSION"
    default_message = "invalid version"


class EmailUnverified(RegistryError):
    """The publisher has no verified e-mail address on GitHub."""

    status = 403
    code = "X07REG_EMAIL_UNVERIFIED"
    default_message = "verified email required to publish"


class AlreadyPublished(RegistryError):
    """The version exists, or existed and was removed; versions are immutable."""

    status = 409
    code = "X07REG_ALREADY_PUBLISHED"
    default_message = "package version already exists"

    @classmethod
    def removed(cls, name: str, version: str) -> Self:
        """The version existed until an operator removed it for legal reasons; its place stays taken."""
        release = f"version {rust_quote(version)} of package {rust_quote(name)}"
        return cls(f"{release} was removed, and no archive can be published as this version again")


class BodyTooLarge(RegistryError):
    """The archive is larger than the limit, or the upload was cut off.

    400 rather than 413, because existing clients expect it.
    """

    status = 400
    code = "X07REG_BODY_TOO_LARGE"
    default_message = "request body too large"


class BadArchive(RegistryError):
    """The upload is not the tar archive that the contract describes (4.2)."""

    status = 400
    code = "X07REG_BAD_ARCHIVE"
    default_message = "bad archive"


class BadManifest(RegistryError):
    """x07-package.json does not parse, or breaks a rule for manifests (contract, 4.3 and 4.5)."""

    status = 400
    code = "X07REG_BAD_MANIFEST"
    default_message = "bad manifest"


class SchemaVersionUnsupported(RegistryError):
    """The manifest's schema_version is not x07.package@0.1.0."""

    status = 400
    code = "X07REG_PKG_SCHEMA_VERSION"
    default_message = "unsupported schema_version"


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
    """A module is not well-formed x07AST, or the linter rejects it (contract, 4.6 and 4.7)."""

    status = 400
    code = "X07REG_PUBLISH_LINT_FAILED"
    default_message = "lint failed"


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
