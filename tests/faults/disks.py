"""Small file systems in memory, for tests that fill a disk."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.account import Account


@contextmanager
def small_disk(path: Path, *, size_kib: int, owner: Account | None = None) -> Iterator[Path]:
    """A file system of its own at a new directory. owner: of its root; None: the current user."""
    if os.geteuid() != 0:
        raise PermissionError("only root may mount a small disk: run the tests as root")
    path.mkdir(parents=True)
    options = f"size={size_kib}k,mode=0700" + (f",uid={owner.uid},gid={owner.gid}" if owner else "")
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "x07-test", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


def remount(path: Path, *options: str) -> None:
    """Change a mounted disk: `ro`, `rw`, `size=…`."""
    subprocess.run(["mount", "-o", ",".join(["remount", *options]), path], check=True)


def fill(path: Path) -> Path:
    """Write a file that takes all remaining space. Returns the file."""
    filler = path / "filler"
    with filler.open("wb", buffering=0) as file:
        for piece in (65_536, 4_096, 1):
            try:
                while file.write(bytes(piece)):
                    continue
            except OSError:
                continue
    return filler
