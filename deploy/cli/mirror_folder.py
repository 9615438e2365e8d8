"""Shared by commands with a mirror: its folder, the URL where it will be served, and a mirror as a source."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from deploy.cli.options import parse_folder

if TYPE_CHECKING:
    from shared.storage.filesystem import FileSystemStorage


Directory = Annotated[
    Path, typer.Argument(metavar="DIR", parser=parse_folder, help="The mirror; created if missing.")
]


def parse_base_url(text: str) -> str:
    """An absolute http, https or file URL, without slashes at its end."""
    parts = urlsplit(text)
    is_url = parts.netloc if parts.scheme in ("http", "https") else parts.scheme == "file" and parts.path
    if not is_url or parts.query or parts.fragment:
        raise typer.BadParameter("it must be an absolute http://, https:// or file:// URL")
    return text.rstrip("/")


BaseUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        parser=parse_base_url,
        help="Where DIR will be served.",
        show_default="the URL in DIR's config.json, or file:// and its absolute path",
    ),
]


def archives_url(root: Path, base_url: str | None) -> str:
    """The URL of the mirror's archives for its config.json; it ends in `dl/`."""
    return f"{base_url}/dl/" if base_url else _archives_url_of(root) or f"{root.as_uri()}/dl/"


def _archives_url_of(root: Path) -> str | None:
    """The URL in the mirror's config.json; None if it has none."""
    from msgspec import MsgspecError, json

    from indexer.config import IndexConfig
    from shared.blobs import CONFIG_KEY

    try:
        return json.decode((root / CONFIG_KEY).read_bytes(), type=IndexConfig).dl
    except (FileNotFoundError, MsgspecError):
        return None


@contextmanager
def alone_in(root: Path) -> Iterator[None]:
    """Lock the mirror for this run. Raises StartFailed at once if another run holds the lock."""
    import fcntl
    import os

    from deploy.errors import StartFailed

    root.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise StartFailed(f"another `export` or `mirror` is running in {root}") from None
    finally:
        os.close(descriptor)


@asynccontextmanager
async def open_copies(root: Path | None) -> AsyncIterator[FileSystemStorage | None]:
    """A mirror, or another tree, from which a command restores; None if the command was given none."""
    from shared.storage.filesystem import FileSystemStorage

    if root is None:
        yield None
        return
    storage = FileSystemStorage(root)
    try:
        yield storage
    finally:
        await storage.close()
