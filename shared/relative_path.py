"""Paths inside an archive: clean ones, and their one spelling (contract, 4.1 and 4.2)."""

from __future__ import annotations


def parse_relative_path(text: str) -> str:
    """The path with its components joined by single slashes.

    Paths are compared by components: repeated slashes, inner `./` and a trailing slash do not
    count. Raises ValueError, with the reason, unless it is non-empty, relative, without `..` and
    without a leading `.` component.
    """
    if not text:
        raise ValueError("is empty")
    if text.startswith("/"):
        raise ValueError("is absolute")
    components = text.split("/")
    if components[0] == ".":
        raise ValueError('starts with "."')
    if ".." in components:
        raise ValueError('contains ".."')
    return "/".join(component for component in components if component not in ("", "."))
