"""The commands with which people pack a directory: each tar program in each of its formats."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from tests.fuzz.tar_programs import NotInstalled, go_program, run, rust_program, tar_named

# Packs paths of a directory into an archive. Raises NotInstalled, or ProgramFailed.
Pack = Callable[[Path, Path, Sequence[str]], None]


def _tar(words: str, names: Sequence[str], *options: str) -> Pack:
    def pack(archive: Path, directory: Path, paths: Sequence[str]) -> None:
        run([tar_named(words, *names), *options, "-cf", archive, "-C", directory, *paths])

    return pack


def _python(tar_format: int) -> Pack:
    def pack(archive: Path, directory: Path, paths: Sequence[str]) -> None:
        with tarfile.open(archive, "w", format=tar_format) as opened:
            for path in paths:
                opened.add(directory / path, path)

    return pack


def _git(*what: str) -> Pack:
    def pack(archive: Path, directory: Path, paths: Sequence[str]) -> None:
        git = ("git", "-c", "user.name=x07", "-c", "user.email=x07@localhost", "-c", "commit.gpgsign=false")
        try:
            run([*git, "init", "--quiet"], where=directory)
        except FileNotFoundError:
            raise NotInstalled("git is not installed") from None
        run([*git, "add", *paths], where=directory)
        run([*git, "commit", "--quiet", "--message", "all"], where=directory)
        run([*git, "archive", "-o", archive, *what], where=directory)

    return pack


def _files(program: Callable[[], str]) -> Pack:
    """Rust and Go pack files, not directories."""

    def pack(archive: Path, directory: Path, paths: Sequence[str]) -> None:
        found = (file for path in paths for file in [directory / path, *(directory / path).rglob("*")])
        files = sorted(file.relative_to(directory).as_posix() for file in found if file.is_file())
        run([program(), "pack", archive, directory, *files])

    return pack


GNU: Final = ("GNU tar", ("tar", "gtar"))
BSD: Final = ("bsdtar", ("bsdtar", "tar"))
PACKERS: Final[dict[str, Pack]] = {
    "the x07 command line": _files(rust_program),
    "Go": _files(go_program),
    "GNU tar": _tar(*GNU),
    "GNU tar, gnu": _tar(*GNU, "--format=gnu"),
    "GNU tar, posix": _tar(*GNU, "--format=posix"),
    "GNU tar, ustar": _tar(*GNU, "--format=ustar"),
    "GNU tar, posix, a large owner": _tar(*GNU, "--format=posix", "--owner=9999999"),
    "GNU tar, gnu, a large owner": _tar(*GNU, "--format=gnu", "--owner=9999999"),
    "bsdtar": _tar(*BSD),
    "bsdtar, pax": _tar(*BSD, "--format=pax"),
    "bsdtar, gnutar": _tar(*BSD, "--format=gnutar"),
    "bsdtar, ustar": _tar(*BSD, "--format=ustar"),
    "Python, gnu": _python(tarfile.GNU_FORMAT),
    "Python, pax": _python(tarfile.PAX_FORMAT),
    "Python, ustar": _python(tarfile.USTAR_FORMAT),
    "git archive, a tree": _git("HEAD^{tree}"),
}
# Archives that are refused, each with a part of the sentence that says how to pack instead.
REFUSED_PACKERS: Final[dict[str, tuple[Pack, str]]] = {
    "GNU tar, v7": (_tar(*GNU, "--format=v7"), "--format=gnu"),
    "GNU tar, gzip": (_tar(*GNU, "--gzip"), "this is gzip"),
    "bsdtar, cpio": (_tar(*BSD, "--format=cpio"), "an archive must be an uncompressed tar"),
    "bsdtar, zip": (_tar(*BSD, "--format=zip"), "this is zip"),
    "git archive, a commit": (_git("HEAD"), "git archive HEAD^{tree}"),
    "GNU tar, the directory": (_tar(*GNU, "--transform=s,^,./,"), "-C DIR x07-package.json modules"),
}
