"""Reads each kind of file from the public address of the registry that is mirrored."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from indexer.config import IndexConfig
from indexer.log.reader import Fetch
from indexer.log.tiles import MAX_BUNDLE_BYTES
from indexer.upkeep.fetch import Fetched
from indexer.upkeep.web import Answer, Unchanged, Web
from shared.blobs import (
    CATALOG_KEY,
    CHECKPOINT_KEY,
    CONFIG_KEY,
    CORRUPT_METADATA,
    index_key,
    log_key,
    package_key,
)
from shared.errors import MetadataCorrupt, StorageUnavailable
from shared.foreign_json import decode_foreign
from shared.names import PackageName
from shared.versions import VersionText

REFRESH: Final = "?x07_refresh=1"


class _Refusal(msgspec.Struct, frozen=True):
    code: str = ""


@dataclass(slots=True)
class Origin:
    """Reads a registry's files. base: its URL, which ends in a slash. config: its config.json."""

    web: Web
    base: str
    config: IndexConfig = field(default_factory=lambda: IndexConfig(dl="", api=""))
    _has_pages: bool = True

    async def read_config(self, etag: str | None) -> Answer | Unchanged:
        """config.json. It must name archives on the web. Raises StorageUnavailable."""
        answer = await self.web.get(f"{self.base}{CONFIG_KEY}", etag=etag)
        if answer is None:
            raise StorageUnavailable(f"{self.base}{CONFIG_KEY} is missing: this is no registry's address")
        return answer

    def take_config(self, body: bytes) -> None:
        """Use this config.json. Raises StorageUnavailable if it cannot be used."""
        try:
            self.config = msgspec.convert(decode_foreign(body, dict[str, Any]), IndexConfig)
        except msgspec.MsgspecError as error:
            raise StorageUnavailable(f"{self.base}{CONFIG_KEY} cannot be read: {error}") from error
        if not _is_on_the_web(self.config.dl):
            mend = "" if not self.config.dl.startswith("file:") else "; make that mirror with --base-url"
            raise StorageUnavailable(f"archives are at {self.config.dl}, which is not on the web{mend}")

    async def catalog(self, path: Path, etag: str | None) -> Fetched | Unchanged | None:
        """catalog.json, into a file. Raises StorageUnavailable."""
        return await self.web.download(f"{self.base}{CATALOG_KEY}", path, etag=etag)

    async def checkpoint(self, etag: str | None, *, refresh: bool = False) -> Answer | Unchanged | None:
        """The log's checkpoint. refresh: bypass caches. Raises StorageUnavailable."""
        return await self.web.get(f"{self.base}{CHECKPOINT_KEY}{REFRESH if refresh else ''}", etag=etag)

    @property
    def log(self) -> Fetch:
        """Reads files of the log."""

        async def fetch(path: str) -> bytes | None:
            url = f"{self.base}{log_key(path)}"
            return _body(await self.web.get(url, most_bytes=MAX_BUNDLE_BYTES))

        return fetch

    async def index_file(self, name: PackageName, *, refresh: bool) -> bytes | None:
        """The index file of a package. refresh: bypass caches. Raises StorageUnavailable."""
        return _body(await self.web.get(f"{self.base}{index_key(name)}{REFRESH if refresh else ''}"))

    async def archive(self, name: PackageName, version: VersionText, path: Path) -> Fetched | None:
        """Download the archive of a version into a file, unchecked. Raises StorageUnavailable."""
        found = await self.web.download(f"{_folder(self.config.dl)}{name}/{version}/download", path)
        return found if isinstance(found, Fetched) else None

    async def metadata(
        self, name: PackageName, version: VersionText, digest: str | None
    ) -> bytes | Unchanged | None:
        """The metadata document of a version. digest: of the mirror's copy. Raises StorageUnavailable."""
        url = f"{_folder(self.config.dl)}{name}/{version}/metadata"
        answer = await self.web.get(url, etag=_etag(digest), accepted=(500,))
        if isinstance(answer, Answer) and answer.status == 500:
            if _code_of(answer.body) != MetadataCorrupt.code:
                raise StorageUnavailable(f"{url} cannot be read: status 500")
            return CORRUPT_METADATA
        return answer if isinstance(answer, Unchanged) else _body(answer)

    async def advisories(
        self, name: PackageName, version: VersionText, digest: str | None
    ) -> bytes | Unchanged | None:
        """The advisories of a version. digest: of the mirror's copy. Raises StorageUnavailable."""
        url = f"{_folder(self.config.api)}packages/{name}/{version}/advisories"
        answer = await self.web.get(url, etag=_etag(digest))
        return answer if isinstance(answer, Unchanged) else _body(answer)

    async def page(self, name: PackageName, digest: str | None) -> bytes | Unchanged | None:
        """The page of a package: the file, or what older registries answer in its place.

        digest: of the mirror's copy. Raises StorageUnavailable.
        """
        if self._has_pages:
            answer = await self.web.get(f"{self.base}{package_key(name)}", etag=_etag(digest))
            if answer is not None:
                return answer if isinstance(answer, Unchanged) else answer.body
        found = _body(await self.web.get(f"{_folder(self.config.api)}packages/{name}"))
        self._has_pages = self._has_pages and found is None
        return found


def _body(answer: Answer | Unchanged | None) -> bytes | None:
    return answer.body if isinstance(answer, Answer) else None


def _is_on_the_web(url: str) -> bool:
    try:
        return urlsplit(url).scheme in ("http", "https")
    except ValueError:
        return False


def _folder(url: str) -> str:
    """The URL with a slash at its end, which clients append too (contract, 10.1)."""
    return url if url.endswith("/") else f"{url}/"


def _etag(digest: str | None) -> str | None:
    """The ETag that a registry gives to a body with this digest; other servers give other ones."""
    return None if digest is None else f'"{digest}"'


def _code_of(body: bytes) -> str:
    try:
        return decode_foreign(body, _Refusal).code
    except msgspec.MsgspecError:
        return ""
