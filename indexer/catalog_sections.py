"""The catalog in sections, kept rendered and compressed, so that a change renders and compresses one of them.

A section has the lines of consecutive packages. Sections only save work: they are rebuilt from rows whenever
they may be out of date (docs/decisions/0045).
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from indexer.gzip_member import Checksum, checksum_of, deflated
from indexer.queries.catalog import CatalogPage, catalog_pages
from indexer.section_file import SectionFile
from shared.storage.interface import BlobInfo

# Of 100,000 packages: 200 sections of some 180 KB. Smaller ones save processor time, and compress less well.
SECTION_NAMES: Final = 500
# A section that has more is split.
FULL_NAMES: Final = 2 * SECTION_NAMES
# The file is written anew when replaced sections have more bytes than this, and more than the others have.
GARBAGE_BYTES: Final = 16 << 20


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of the catalog, as they are and as deflate blocks."""

    body: bytes
    blocks: bytes
    checksum: Checksum


def piece_of(body: bytes) -> Piece:
    """A piece, compressed now."""
    return Piece(body, deflated(body), checksum_of(body))


@dataclass(frozen=True, slots=True)
class Section:
    """The lines of packages behind the section before it, up to the name `last`; the last section has no end.

    names: how many. start: of its lines in the file, joined by commas. blocks_bytes: of their deflate blocks,
    which follow.
    """

    last: str
    names: int
    start: int
    checksum: Checksum
    blocks_bytes: int

    @property
    def size_bytes(self) -> int:
        """Bytes in the file."""
        return self.checksum.size_bytes + self.blocks_bytes

    @property
    def limit(self) -> int:
        """The most names of a section when this one is read again."""
        return FULL_NAMES if self.names < FULL_NAMES else SECTION_NAMES


class KeptCatalog:
    """The sections of the catalog that this process put last. One build uses it at a time."""

    def __init__(self) -> None:
        self._file = SectionFile()
        self.sections: list[Section] = []
        self._put: tuple[int, str | None] | None = None

    def is_in_storage(self, there: BlobInfo | None) -> bool:
        """True if there are sections, and the catalog in storage is the one that was made of them.

        Then no other process has put one since.
        """
        return not self.is_empty and there is not None and self._put == (there.generation, there.digest)

    def adopt(self, sections: list[Section], generation: int, digest: str) -> None:
        """Keep these sections, which were put under this generation and digest, and committed."""
        self.sections, self._put = sections, (generation, digest)

    @property
    def is_empty(self) -> bool:
        """True if the next build makes every section."""
        return not self.sections

    async def rebuilt(self, tx: AsyncConnection) -> list[Section]:
        """All sections, from rows."""
        self.clear()
        return [section async for section in self._sections_of(tx, "", None, SECTION_NAMES)]

    async def renewed(self, tx: AsyncConnection, changed: Sequence[str]) -> list[Section]:
        """The kept sections; those of changed packages are read from rows."""
        self._file, self.sections = await asyncio.to_thread(_tidied, self._file, self.sections)
        lasts = [section.last for section in self.sections]
        stale = {min(bisect_left(lasts, name), len(lasts) - 1) for name in changed}
        sections: list[Section] = []
        for place, section in enumerate(self.sections):
            if place not in stale:
                sections.append(section)
                continue
            after = lasts[place - 1] if place else ""
            up_to = section.last if place + 1 < len(lasts) else None
            sections += [new async for new in self._sections_of(tx, after, up_to, section.limit)]
        return sections

    def pieces(self, sections: Sequence[Section]) -> Iterator[Piece]:
        """The sections, read from the file."""
        for section in sections:
            stored = self._file.read(section.start, section.size_bytes)
            size_bytes = section.checksum.size_bytes
            yield Piece(stored[:size_bytes], stored[size_bytes:], section.checksum)

    def clear(self) -> None:
        """Forget all sections, and give their space back."""
        self._file, self.sections, self._put = SectionFile(), [], None

    async def _sections_of(
        self, tx: AsyncConnection, after: str, up_to: str | None, limit: int
    ) -> AsyncIterator[Section]:
        file = self._file
        async for page in catalog_pages(tx, after, up_to, limit):
            yield await asyncio.to_thread(_section_of, file, page)


def _section_of(file: SectionFile, page: CatalogPage) -> Section:
    """The section of a page, kept in the file."""
    piece = piece_of(page.lines)
    start = file.append(piece.body + piece.blocks)
    return Section(page.last, page.names, start, piece.checksum, len(piece.blocks))


def _tidied(file: SectionFile, sections: list[Section]) -> tuple[SectionFile, list[Section]]:
    """The sections in a new file, if the old one has too many others."""
    kept_bytes = sum(section.size_bytes for section in sections)
    if file.size_bytes - kept_bytes <= max(kept_bytes, GARBAGE_BYTES):
        return file, sections
    new = SectionFile()
    return new, [
        replace(section, start=new.append(file.read(section.start, section.size_bytes)))
        for section in sections
    ]
