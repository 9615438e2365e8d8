"""The kinds of syncs in a recording, and the recording as it would be without one of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from tests.faults.power_disk import Event, FileSynced, FolderMade, FolderSynced, Named, Unnamed

FILES = (
    (r"staging/.*", "a staged archive"),
    (r"dl/[^/]+/[^/]+/download", "an archive"),
    (r"dl/[^/]+/[^/]+/metadata", "metadata"),
    (r"dl/[^/]+/[^/]+/advisories", "a list of advisories"),
    (r"dl/[^/]+/package", "a package page"),
    (r"index/catalog\.json.*", "the catalog"),
    (r"index/config\.json", "config.json"),
    (r"log/checkpoint", "the checkpoint"),
    (r"log/tile/entries/.*", "an entry bundle"),
    (r"log/tile/.*", "a tile"),
    (r".*\.(?:gz|zst)", "a variant of an index file"),
    (r"index/.*", "an index file"),
)
FOLDERS = (
    (r"", "the root"),
    (r"staging", "staging/"),
    (r"tmp.*", "tmp/"),
    (r"index", "index/"),
    (r"index/.*", "a shard of index/"),
    (r"log", "log/"),
    (r"log/tile.*", "log/tile/"),
    (r"dl", "dl/"),
    (r"dl/[^/]+", "dl/NAME/"),
    (r"dl/[^/]+/[^/]+", "dl/NAME/VERSION/"),
)


def kinds_of_syncs(events: Sequence[Event]) -> Mapping[str, int]:
    """How often each kind of sync occurs."""
    return Counter(kind for _, kind in _kinds(events) if kind is not None)


def without(events: Sequence[Event], kind: str) -> list[Event]:
    """The recording without the syncs of a kind."""
    return [event for event, its_kind in _kinds(events) if its_kind != kind]


def _kinds(events: Sequence[Event]) -> Iterator[tuple[Event, str | None]]:
    """Each event, with its kind if it is a sync."""
    named = [event for event in reversed(events) if isinstance(event, Named) and "tmp/" not in event.path]
    first = {event.inode: event.path for event in named}
    unsure: dict[str, set[str]] = {}
    for event in events:
        match event:
            case Named(path) | FolderMade(path) | Unnamed(path):
                what = "removals" if isinstance(event, Unnamed) else "names"
                unsure.setdefault(path.rpartition("/")[0], set()).add(what)
                yield event, None
            case FileSynced(path, inode):
                yield event, f"the bytes of {_named(FILES, first.get(inode, path or 'nothing'))}"
            case FolderSynced(path):
                covers = unsure.pop(path, set())
                what = "new names" if "names" in covers else "removals" if covers else "nothing new"
                yield event, f"{what} in {_named(FOLDERS, path)}"
            case _:
                yield event, None


def _named(kinds: Sequence[tuple[str, str]], path: str) -> str:
    return next((name for pattern, name in kinds if re.fullmatch(pattern, path)), "something else")
