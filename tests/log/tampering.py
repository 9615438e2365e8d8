"""Ways in which somebody with access to storage could tamper with a log and the index."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from indexer.log.checkpoint import Checkpoint
from indexer.log.tiles import Edge, parse_bundle, render_bundle
from indexer.log.tree import leaf_hash
from shared.storage.interface import Storage
from tests.indexer.upkeep.walks import body_of, overwrite
from tests.log.logs import ORIGIN, SIGNER

INDEX = "index/he/ll/hello"
ENTRIES: Final = 6
BUNDLE: Final = f"log/tile/entries/000.p/{ENTRIES}"

Tampering = Callable[[Storage], Awaitable[None]]


async def change_a_line(storage: Storage) -> None:
    """Change a version's checksum for all readers."""
    body = await body_of(storage, INDEX)
    await overwrite(storage, INDEX, body.replace(b'"cksum":"', b'"cksum":"0', 1))


async def take_a_yank_back(storage: Storage) -> None:
    """Restore an older line, which was once in the log."""
    body = await body_of(storage, INDEX)
    await overwrite(storage, INDEX, body.replace(b'"yanked":true', b'"yanked":false'))


async def hide_a_version(storage: Storage) -> None:
    """Remove a line."""
    body = await body_of(storage, INDEX)
    await overwrite(storage, INDEX, body.splitlines(keepends=True)[0])


async def hide_a_package(storage: Storage) -> None:
    """Remove an index file."""
    await storage.delete("index/ot/he/other")


async def show_what_is_not_logged(storage: Storage) -> None:
    """Add a version that nobody published."""
    body = await body_of(storage, INDEX)
    await overwrite(storage, INDEX, body + body.splitlines()[0].replace(b"0.1.0", b"9.0.0") + b"\n")


async def swap_a_tile(storage: Storage) -> None:
    """Replace the hashes of a tile."""
    await overwrite(storage, f"log/tile/0/000.p/{ENTRIES}", bytes(ENTRIES * 32))


async def swap_an_entry(storage: Storage) -> None:
    """Replace a bundle by another one with as many entries."""
    await overwrite(storage, BUNDLE, render_bundle([b'{"name":"x"}'] * ENTRIES))


async def remove_a_tile(storage: Storage) -> None:
    """Delete a tile."""
    await storage.delete(f"log/tile/0/000.p/{ENTRIES}")


async def change_an_entry(storage: Storage) -> None:
    """Change one byte of an entry."""
    body = await body_of(storage, BUNDLE)
    await overwrite(storage, BUNDLE, body.replace(b'"yanked":false', b'"yanked": true', 1))


async def roll_the_log_back(storage: Storage) -> None:
    """Restore the log before its last entry, signed by its own key."""
    await put_log(storage, parse_bundle(await body_of(storage, BUNDLE))[:-1])


async def sign_twice(storage: Storage) -> None:
    """Sign another tree of the same size with the log's own key."""
    entries = [f'{{"name":"hello","version":"{n}","line":{{}}}}'.encode() for n in range(ENTRIES)]
    await put_log(storage, entries)


async def forge_the_signature(storage: Storage) -> None:
    """Put a checkpoint that the log's key did not sign."""
    body = await body_of(storage, "log/checkpoint")
    await overwrite(storage, "log/checkpoint", body.replace(b"\n6\n", b"\n5\n"))


async def put_log(storage: Storage, entries: Sequence[bytes]) -> None:
    """Put the files of a log with fewer than 256 entries, and a checkpoint signed by its own key."""
    edge, tiles = Edge().grow([leaf_hash(entry) for entry in entries])
    note = SIGNER.sign(Checkpoint(ORIGIN, edge.size, edge.root()).text())
    await overwrite(storage, "log/checkpoint", note)
    await overwrite(storage, f"log/tile/entries/000.p/{edge.size}", render_bundle(entries))
    for tile, body in tiles:
        await overwrite(storage, f"log/{tile.path}", body)


Told = tuple[str, str | None, str | None]
"""Kind, package and version of a difference."""
LOG: Final[Told] = ("wrong_log", None, None)

# The tampering, the difference that `log verify` reports, and the end of a monitor that saw the log before.
TAMPERINGS: Final[list[tuple[Tampering, Told, int]]] = [
    (change_a_line, ("unlike_log", "hello", "0.1.0"), 1),
    (take_a_yank_back, ("unlike_log", "hello", "0.1.0"), 1),
    (hide_a_version, ("hidden", "hello", "0.2.0"), 1),
    (hide_a_package, ("hidden", "other", "1.0.0"), 1),
    (show_what_is_not_logged, ("not_logged", "hello", "9.0.0"), 1),
    (swap_a_tile, LOG, 1),
    (remove_a_tile, LOG, 1),
    (swap_an_entry, LOG, 1),
    (change_an_entry, LOG, 1),
    (forge_the_signature, LOG, 1),
    (roll_the_log_back, ("unlike_log", "hello", "0.1.0"), 3),
    (sign_twice, ("not_logged", "hello", "0.2.0"), 3),
]


def name_of(value: Any) -> str | None:
    """A tampering's name for a test's id."""
    return getattr(value, "__name__", None)
