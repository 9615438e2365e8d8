"""Reads whole files of a registry or a mirror at its public address: http, https or file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

import msgspec

from indexer.config import LogConfig, parse_log
from indexer.log.reader import Fetch
from indexer.log.tiles import MAX_BUNDLE_BYTES
from indexer.upkeep.web import Answer, Web
from shared.blobs import CATALOG_KEY, CONFIG_KEY, LOG_PREFIX
from shared.errors import StorageUnavailable
from shared.foreign_json import decode_foreign


class _Package(msgspec.Struct, frozen=True):
    name: str


class _Catalog(msgspec.Struct, frozen=True):
    packages: tuple[_Package, ...]


@dataclass(frozen=True, slots=True)
class Address:
    """The address that files are read from. base: ends in a slash. web: None for a directory."""

    base: str
    web: Web | None

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, token: str | None = None) -> AsyncIterator[Self]:
        """Open the registry at a URL, which may be that of its log. Raises ValueError for another scheme.

        token: for a private registry; it is sent to this address alone.
        """
        base = url.rstrip("/").removesuffix("/log") + "/"
        scheme = urlsplit(base).scheme
        if scheme == "file":
            yield cls(base, None)
        elif scheme in ("http", "https"):
            async with Web.open(token=token, token_base=base.rstrip("/")) as web:
                yield cls(base, web)
        else:
            raise ValueError(
                f"{url} is not the address of a registry, which begins with https://, http:// or file://"
            )

    async def get(self, path: str, *, refresh: bool = False) -> bytes | None:
        """A file, or None if it does not exist. refresh: bypass caches. Raises StorageUnavailable."""
        if self.web is None:
            return await asyncio.to_thread(_read, Path(unquote(urlsplit(self.base).path)) / path)
        most_bytes = MAX_BUNDLE_BYTES if path.startswith(LOG_PREFIX) else None
        url = f"{self.base}{path}{'?x07_refresh=1' if refresh else ''}"
        answer = await self.web.get(url, most_bytes=most_bytes)
        return answer.body if isinstance(answer, Answer) else None

    @property
    def log(self) -> Fetch:
        """Reads files of the log."""
        return lambda path: self.get(f"{LOG_PREFIX}{path}")

    async def index_file(self, key: str, refresh: bool) -> bytes | None:
        """An index file, or None if it does not exist. Raises StorageUnavailable."""
        return await self.get(key, refresh=refresh)

    async def names(self) -> AsyncIterator[str]:
        """The packages that the catalog lists. Raises StorageUnavailable if the catalog cannot be read."""
        body = await self.get(CATALOG_KEY)
        try:
            catalog = decode_foreign(body or b"", _Catalog)
        except msgspec.MsgspecError as error:
            raise StorageUnavailable(f"{self.base}{CATALOG_KEY} is not a catalog: {error}") from error
        for package in catalog.packages:
            yield package.name

    async def published_log(self) -> LogConfig | None:
        """The log that config.json names, or None. Raises LogInvalid, StorageUnavailable."""
        body = await self.get(CONFIG_KEY)
        return None if body is None else parse_log(body)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError as error:
        raise StorageUnavailable(f"{path} cannot be read: {error}") from error
