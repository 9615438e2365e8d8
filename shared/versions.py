"""Versions: their syntax and their order (contract, 1.8; SemVer 2.0.0).

The package semantic-version is not used: its order ignores build metadata, its numbers have no upper limit,
and a pre-release number of thousands of digits makes it raise ValueError.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NewType, TypeAlias

from shared.publish_errors import InvalidVersion
from shared.text import rust_quote

VersionText = NewType("VersionText", str)
"""Strict SemVer 2.0.0 as it was written. Versions are stored and matched as literal text."""

# A package with thousands of versions is sorted at each of its changes.
KEYS_REMEMBERED = 8192
MAX_NUMBER = 2**64 - 1
MAX_NEW_VERSION_BYTES = 255

NUMBER = r"(?:0|[1-9][0-9]{0,19})"
_BUILD_IDENTIFIER = r"[0-9A-Za-z-]+"
_PRE_IDENTIFIER = r"(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
PRE_RELEASE = rf"{_PRE_IDENTIFIER}(?:\.{_PRE_IDENTIFIER})*"
BUILD = rf"{_BUILD_IDENTIFIER}(?:\.{_BUILD_IDENTIFIER})*"

_VERSION = re.compile(
    rf"(?P<major>{NUMBER})\.(?P<minor>{NUMBER})\.(?P<patch>{NUMBER})"
    rf"(?:-(?P<pre>{PRE_RELEASE}))?(?:\+(?P<build>{BUILD}))?"
)

IdentifierKey: TypeAlias = tuple[int, int, str, int]
PreReleaseKey: TypeAlias = tuple[bool, tuple[IdentifierKey, ...]]
VersionKey: TypeAlias = tuple[int, int, int, PreReleaseKey, tuple[IdentifierKey, ...]]


@dataclass(frozen=True)
class Version:
    """A parsed version. Numbers: 0 to 2^64-1. pre, build: without `-` and `+`; empty when absent."""

    major: int
    minor: int
    patch: int
    pre: str = ""
    build: str = ""

    @property
    def numbers(self) -> tuple[int, int, int]:
        """MAJOR, MINOR and PATCH."""
        return (self.major, self.minor, self.patch)

    @cached_property
    def key(self) -> VersionKey:
        """The sorting key:

        SemVer precedence, then build metadata. Two versions have equal keys only if their texts are.
        """
        return (self.major, self.minor, self.patch, pre_release_key(self.pre), _identifier_keys(self.build))


def read_version(text: str) -> Version | None:
    """The parsed version, or None when the text is not a version."""
    match = _VERSION.fullmatch(text)
    if match is None:
        return None
    major, minor, patch = int(match["major"]), int(match["minor"]), int(match["patch"])
    if max(major, minor, patch) > MAX_NUMBER:
        return None
    return Version(major, minor, patch, match["pre"] or "", match["build"] or "")


def parse_version(text: str) -> VersionText:
    """The text as a version. Raises InvalidVersion."""
    if not text:
        raise InvalidVersion("version must not be empty")
    if not text.isascii():
        raise InvalidVersion("version must be ASCII")
    if read_version(text) is None:
        raise InvalidVersion(
            f"version {rust_quote(text)} is not SemVer 2.0.0 (MAJOR.MINOR.PATCH[-pre][+build])"
        )
    return VersionText(text)


def parse_new_version(text: str) -> VersionText:
    """The text as a version that is not published yet. Raises InvalidVersion.

    Stricter than parse_version, which stored versions must pass, because the version becomes a folder's name.
    """
    version = parse_version(text)
    if len(version) > MAX_NEW_VERSION_BYTES:
        raise InvalidVersion(f"a new version must have at most {MAX_NEW_VERSION_BYTES} bytes")
    return version


def version_key(text: str) -> VersionKey:
    """The sorting key of a version. Raises InvalidVersion."""
    version = read_version(text)
    if version is None:
        raise InvalidVersion(f"version {rust_quote(text)} is not SemVer 2.0.0")
    return version.key


def sort_ascending(versions: Iterable[str]) -> list[str]:
    """Stored versions from least to greatest; those that do not parse come last, by text."""
    return sorted(versions, key=stored_version_key)


@lru_cache(maxsize=KEYS_REMEMBERED)
def stored_version_key(text: str) -> tuple[bool, VersionKey | tuple[()], str]:
    """The sorting key of a version from an old row, which may not parse. Never raises."""
    version = read_version(text)
    return (True, (), text) if version is None else (False, version.key, text)


def greatest(versions: Iterable[str]) -> VersionText | None:
    """The greatest version. Pre-releases count; versions that do not parse are skipped."""
    parsed = [(version.key, text) for text in versions if (version := read_version(text))]
    return VersionText(max(parsed)[1]) if parsed else None


def pre_release_key(pre: str) -> PreReleaseKey:
    """The order of pre-releases: a version without one is greater than any with one (SemVer, 11.3)."""
    return (not pre, _identifier_keys(pre))


def _identifier_keys(dotted: str) -> tuple[IdentifierKey, ...]:
    return tuple(map(_identifier_key, dotted.split("."))) if dotted else ()


def _identifier_key(identifier: str) -> IdentifierKey:
    """Numeric before alphanumeric; numbers by value, then by leading zeros; text by ASCII.

    Numbers are compared by length and digits and never converted, because they have no upper limit.
    """
    if not identifier.isdigit():
        return (1, 0, identifier, 0)
    digits = identifier.lstrip("0")
    return (0, len(digits), digits, len(identifier))
