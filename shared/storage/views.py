"""What readers see of a package that has no file of its own: cut out of a file, or the empty list.

The owners are the beginning of the package's page. A version that never had an advisory has an empty list
and no file for it. Both bodies follow from the files alone, so reads need no database for them.

Whoever hears that a file has changed learns from `views_of` which views have changed with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

from shared.blobs import advisories_key, metadata_key, owners_key, package_key
from shared.names import PackageName
from shared.storage.interface import BlobInfo, Found, Missing, NotModified, Opened, Readable
from shared.versions import VersionText

# The revision of an empty list: that of the version's metadata, behind this mark, which no back end gives.
NO_FILE: Final = "no-advisories:"


class Views:
    """Files, and the views of them, under keys of their own. A file that was removed reads as missing."""

    def __init__(self, files: Readable) -> None:
        self._files = files

    async def get(self, key: str, *, if_revision: str | None = None) -> Found | NotModified | Missing:
        """The whole file or view; NotModified when its revision still equals if_revision."""
        match key.split("/"):
            case ["dl", name, "owners"]:
                return _owners(key, await self._file(package_key(PackageName(name)), if_revision))
            case ["dl", name, version, "advisories"]:
                return await self._advisories(
                    key, metadata_key(PackageName(name), VersionText(version)), if_revision
                )
            case _:
                return await self._file(key, if_revision)

    async def head(self, key: str) -> BlobInfo | None:
        """The metadata of the file or view, or None."""
        if not _is_view(key):
            info = await self._files.head(key)
            return None if info is None or info.is_removed else info
        found = await self.get(key)
        return found.info if isinstance(found, Found) else None

    @asynccontextmanager
    async def open(
        self, key: str, *, start: int = 0, end: int | None = None
    ) -> AsyncIterator[Opened | Missing]:
        """Stream bytes start to end of a file or view."""
        async with self._files.open(key, start=start, end=end) as opened:
            is_removed = isinstance(opened, Opened) and opened.info.is_removed
            outcome = Missing(is_removed=True) if is_removed else opened
            if isinstance(outcome, Opened) or not _is_view(key):
                yield outcome
                return
        found = await self.get(key)
        yield Opened(found.info, _once(found.body[start:end])) if isinstance(found, Found) else Missing()

    async def _file(self, key: str, if_revision: str | None) -> Found | NotModified | Missing:
        outcome = await self._files.get(key, if_revision=if_revision)
        return Missing(is_removed=True) if isinstance(outcome, Found) and outcome.info.is_removed else outcome

    async def _advisories(
        self, key: str, of_version: str, if_revision: str | None
    ) -> Found | NotModified | Missing:
        known = if_revision if if_revision is None or not if_revision.startswith(NO_FILE) else None
        outcome = await self._file(key, known)
        if not isinstance(outcome, Missing):
            return outcome
        version = await self._files.head(of_version)
        if version is None or version.is_removed:
            return outcome
        revision = f"{NO_FILE}{version.revision}"
        if revision == if_revision:
            return NotModified(revision)
        return _none(key, replace(version, revision=revision))


def views_of(keys: Iterable[str]) -> tuple[str, ...]:
    """The keys of the views that are made of these files."""
    found = []
    for key in keys:
        match key.split("/"):
            case ["dl", name, "package"]:
                found.append(owners_key(PackageName(name)))
            case ["dl", name, version, "metadata"]:
                found.append(advisories_key(PackageName(name), VersionText(version)))
    return tuple(found)


def _is_view(key: str) -> bool:
    """True for what may have no file of its own."""
    return key.startswith("dl/") and key.endswith(("/owners", "/advisories"))


def owners_in(page: bytes) -> bytes:
    """The owners in a page: the same JSON without `latest_version`, up to the end of the owners.

    No name, handle or version holds a quote or a bracket, so the bytes are found without parsing JSON.
    """
    head, _, rest = page.partition(b',"latest_version":')
    shown = rest.index(b',"is_official":')
    return head + rest[shown : rest.index(b"]", shown) + 1] + b"}"


def _owners(key: str, page: Found | NotModified | Missing) -> Found | NotModified | Missing:
    return _view(key, page.info, owners_in(page.body)) if isinstance(page, Found) else page


def _none(key: str, version: BlobInfo) -> Found:
    _, name, text, _ = key.split("/")
    return _view(key, version, f'{{"ok":true,"name":"{name}","version":"{text}","advisories":[]}}'.encode())


def _view(key: str, of: BlobInfo, body: bytes) -> Found:
    """A view of a file, with a digest of its own. The body is small, and cached with its digest."""
    digest = hashlib.sha256(body).hexdigest()
    return Found(replace(of, key=key, size_bytes=len(body), digest=digest, identity_digest=None), body)


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body
