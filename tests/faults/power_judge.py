"""Judges what a power cut left: by what readers get at once, and by what a worker makes of it."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from indexer.catalog_publication import publish_catalog
from indexer.parts import make_parts
from shared.blobs import archive_key
from shared.messages import Notifier
from shared.names import PackageName
from shared.storage.attributes import ATTRIBUTE, unpack
from shared.storage.filesystem import FileSystemStorage
from shared.versions import VersionText
from tests.faults.power_disk import Content, Event, FileSynced
from tests.faults.power_log import require_one_history, wrong_log
from tests.faults.power_rows import AllRows
from tests.faults.promises import tree_equals_rows
from tests.stack import Registry
from worker.schedule import Schedule

SHOWN = ("index/", "dl/", "log/")


class _Line(msgspec.Struct):
    name: str
    version: str
    cksum: str


@dataclass(frozen=True, slots=True)
class Cut:
    """What a power cut left: rows and files. checkpoints: that readers could see before, oldest first."""

    rows: str
    files: Mapping[str, Content]
    checkpoints: Sequence[bytes]


@dataclass(slots=True)
class Verdicts:
    """What was tried and found. complaints: what was lost, stayed torn or was served torn."""

    tried: int = 0
    judged: int = 0
    complaints: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Judge:
    """One directory and one database, which take the state after each cut in turn.

    registry: over both; no process of it runs. whole: digests of the bodies that were ever synced.
    """

    registry: Registry
    notifier: Notifier
    rows: AllRows
    whole: Collection[str]
    _seen: set[str] = field(default_factory=set)

    async def look(self, verdicts: Verdicts, where: str, cut: Cut) -> None:
        """Judge one state, unless the same was judged before."""
        verdicts.tried += 1
        fingerprint = _fingerprint(cut)
        if fingerprint in self._seen:
            return
        self._seen.add(fingerprint)
        verdicts.judged += 1
        found = served_torn(cut.files, self.whole) or await wrong_log(whole_files(cut.files))
        found = found or await self._after_the_worker(cut)
        if found:
            verdicts.complaints.append(f"{where}: {found}")

    async def _after_the_worker(self, cut: Cut) -> str | None:
        """What differs from the rows when a worker has swept, as it does when it starts."""
        registry = self.registry
        root = registry.settings.data_dir
        lay_out(root, cut.files)
        await self.rows.put(cut.rows)
        storage = FileSystemStorage(root)
        try:
            parts = make_parts(registry.settings, registry.database, storage, self.notifier)
            schedule = Schedule(parts)
            await schedule._publish_all()
            await publish_catalog(parts)
            await schedule.close()
            names = [row.name for row in await registry.rows("SELECT name FROM packages")]
            await require_one_history(parts, names, cut.checkpoints)
            await tree_equals_rows(registry)
        except Exception as error:
            return f"{type(error).__name__}: {str(error)[:300]}"
        finally:
            await storage.close()
        return None


def served_torn(files: Mapping[str, Content], whole: Collection[str]) -> str | None:
    """What a reader gets wrong before anything is mended: torn bytes, or a line without its archive."""
    shown = {path: content for path, content in files.items() if path.startswith(SHOWN)}
    served = whole_files(shown)
    for path, content in served.items():
        digest = _sha256(content.body)
        known = None if content.attribute is None else unpack(content.attribute)
        if (known is None and digest not in whole) or (known and known.attributes.digest != digest):
            return f"{path} is served torn"
    for path, content in served.items():
        if path.startswith("index/") and "." not in path and (wrong := _without_archive(content, served)):
            return wrong
    return None


def whole_files(files: Mapping[str, Content]) -> dict[str, Content]:
    """The files that readers get."""
    return {path: content for path, content in files.items() if _is_whole(content)}


def _is_whole(content: Content) -> bool:
    """False for a file that has lost bytes: readers get an error instead of it (TornBlob)."""
    sealed = None if content.attribute is None else unpack(content.attribute)
    return sealed is None or sealed.size_bytes in (None, len(content.body))


def _without_archive(index: Content, shown: Mapping[str, Content]) -> str | None:
    """A line of an index file whose archive is not there or has other bytes."""
    for text in index.body.splitlines():
        line = msgspec.json.decode(text, type=_Line)
        key = archive_key(PackageName(line.name), VersionText(line.version))
        if key not in shown or _sha256(shown[key].body) not in (line.cksum, _sha256(b"")):
            return f"{line.name} {line.version} is listed without its archive"
    return None


def lay_out(root: Path, files: Mapping[str, Content]) -> None:
    """Make a directory hold exactly these files."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.body)
        if content.attribute is not None:
            os.setxattr(path, ATTRIBUTE, content.attribute)


def whole_bodies(events: Collection[Event]) -> set[str]:
    """Digests of all bodies that were synced."""
    return {_sha256(event.content.body) for event in events if isinstance(event, FileSynced)}


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _fingerprint(cut: Cut) -> str:
    digest = hashlib.sha256(b"\0".join((cut.rows.encode(), *cut.checkpoints[-1:])))
    for path in sorted(cut.files):
        if not path.startswith("tmp/"):
            content = cut.files[path]
            digest.update(b"\0".join((path.encode(), content.body, content.attribute or b"")))
    return digest.hexdigest()
