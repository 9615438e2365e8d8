"""Unpacks accepted archives with every tar program, and compares the results."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final

from api.write.archive.paths import files_by_path
from shared.archive.tar import Tar
from shared.publish_errors import BadArchive
from shared.relative_path import parse_relative_path
from tests.fuzz.tar_programs import ProgramFailed, TarProgram

# The contents of a directory: the bytes of each file, None for a directory, by path.
Tree = dict[str, bytes | None]

MAX_TOLD_CHARS: Final = 300


def checked_tree(archive: Path) -> Tree | None:
    """The files that the checks see in an archive; None if they refuse it."""
    with archive.open("rb") as file:
        tar = Tar(file)
        try:
            entries = list(tar.entries())
            files = files_by_path(entries)
        except BadArchive:
            return None
        tree: Tree = {path: tar.read(entry, entry.size) for path, entry in files.items()}
    directories = [parse_relative_path(entry.path) for entry in entries if not entry.is_file]
    for path in [*directories, *_parents([*tree, *directories])]:
        tree[path] = None
    return tree


def require_same(archive: Path, programs: tuple[TarProgram, ...]) -> bool:
    """True if the archive is accepted and every program unpacks the checked files; False if it is refused.

    Raises AssertionError with the program whose files differ.
    """
    expected = checked_tree(archive)
    if expected is None:
        return False
    for program in programs:
        assert (seen := _unpacked(program, archive)) == expected, (
            f"{program.name} sees {str(seen)[:MAX_TOLD_CHARS]}, and not {str(expected)[:MAX_TOLD_CHARS]}"
        )
    return True


def _parents(paths: list[str]) -> list[str]:
    return [str(parent) for path in paths for parent in Path(path).parents if str(parent) != "."]


def _unpacked(program: TarProgram, archive: Path) -> Tree | str:
    """The files that a program unpacks, or its error message."""
    with tempfile.TemporaryDirectory() as directory:
        try:
            program.unpack(archive, Path(directory))
        except ProgramFailed as error:
            return f"nothing: {error}"
        return read_tree(Path(directory))


def read_tree(directory: Path) -> Tree:
    """The contents of a directory, whatever its modes. Raises AssertionError for a link or a device."""
    tree: Tree = {}
    for place, folders, files in os.walk(directory):
        for path in (Path(place, name) for name in folders + files):
            assert not path.is_symlink(), path
            assert path.is_dir() or path.is_file(), path
            path.chmod(0o700)
            tree[path.relative_to(directory).as_posix()] = path.read_bytes() if path.is_file() else None
    return tree
