"""Package names and user handles, and paths in the index tree (contract, 1.8 and 3.1)."""

from __future__ import annotations

import re
from typing import NewType

from shared.errors import IndexPathInvalid
from shared.publish_errors import InvalidName
from shared.text import lower_ascii, trim

PackageName = NewType("PackageName", str)
"""Not empty, only `a-z 0-9 - _`: safe as one segment of a path, a URL or a storage key."""

Handle = NewType("Handle", str)
"""A user's public name; the same rule as for packages."""

MAX_NEW_NAME_BYTES = 128

_ALLOWED = re.compile(r"[a-z0-9_-]+")
_RUNS = re.compile(r"[-_]+")


def parse_name(text: str) -> PackageName:
    """The name of a package that may exist. Raises InvalidName."""
    _require_valid(text, "package name")
    return PackageName(text)


def parse_new_name(text: str) -> PackageName:
    """The name of a package that does not exist yet. Raises InvalidName.

    Stricter than parse_name, as the manifest schema is: at most 128 bytes, first a letter.
    """
    name = parse_name(text)
    if not "a" <= name[0] <= "z":
        raise InvalidName("a new package name must start with a letter a-z")
    if len(name) > MAX_NEW_NAME_BYTES:
        raise InvalidName(f"a new package name must have at most {MAX_NEW_NAME_BYTES} bytes")
    return name


def fold_name(text: str) -> str:
    """The common form of names that look alike: lower case, and one `-` for each run of `-` and `_`."""
    return _RUNS.sub("-", lower_ascii(text))


def parse_handle(text: str) -> Handle:
    """The handle of a user. Raises InvalidName."""
    _require_valid(text, "handle")
    return Handle(text)


def read_handle(text: str) -> Handle:
    """A handle as people may write it: trimmed and lower-cased first. Raises InvalidName."""
    return parse_handle(lower_ascii(trim(text)))


def shard_path(name: PackageName) -> str:
    """The path of a package's index file below `index/`: `hello` is at `he/ll/hello`."""
    if len(name) <= 2:
        return f"{len(name)}/{name}"
    if len(name) == 3:
        return f"3/{name[0]}/{name}"
    return f"{name[:2]}/{name[2:4]}/{name}"


def parse_index_path(path: str) -> PackageName:
    """The package whose index file a path below `/index/` names; the path has its one spelling.

    path: percent-decoded, without the leading slash; the caller has dealt with `catalog.json`
    and `config.json`. Raises IndexPathInvalid and InvalidName in the order of contract 3.1.
    """
    if not path or ".." in path or "\\" in path or path.endswith("/"):
        raise IndexPathInvalid
    name = parse_name(path.rpartition("/")[2])
    if path != shard_path(name):
        raise IndexPathInvalid
    return name


def _require_valid(text: str, what: str) -> None:
    if not text:
        raise InvalidName(f"{what} must not be empty")
    if not text.isascii() or text != text.lower():
        raise InvalidName(f"{what} must be lower-case ASCII")
    if not _ALLOWED.fullmatch(text):
        raise InvalidName(f"{what} may hold only a-z, 0-9, - and _")
