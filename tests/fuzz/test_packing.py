"""Archives of plain files from tar programs are accepted, or the refusal explains how to pack."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from api.write.archive.check import check_archive
from shared.publish_errors import BadArchive
from tests.archives import build_archive, hello_manifest, json_bytes, listed_files
from tests.docs_tables import DOCS
from tests.fuzz.comparison import require_same
from tests.fuzz.packing import PACKERS, REFUSED_PACKERS, Pack
from tests.fuzz.tar_programs import PYTHON, NotInstalled, find_tar_programs, run
from tests.loud import say_loudly

REAL_MANIFESTS = Path(__file__).parents[1] / "data" / "manifests.ndjson"
COMMANDS = re.findall(r"^```sh\n(.*?)\n```$", (DOCS / "packing.md").read_text(), re.MULTILINE | re.DOTALL)
PATHS = ("x07-package.json", "modules", "ffi")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The directory of a package with an empty file, a binary file, and names with blanks and accents."""
    files = {
        "x07-package.json": json_bytes(hello_manifest()),
        **listed_files(hello_manifest()),
        "ffi/empty.h": b"",
        "ffi/lib.a": bytes(range(256)) * 5,
        "ffi/a b.c": b"int b;",
        "ffi/\u00e9t\u00e9.c": b"int e;",
    }
    _write(tmp_path / "package", files)
    return tmp_path / "package"


def _write(directory: Path, files: dict[str, bytes]) -> None:
    for path, data in files.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(data)


def _packed(request: pytest.FixtureRequest, pack: Pack, archive: Path, directory: Path) -> bool:
    """True if the directory was packed; the run names packers that are not installed at its end."""
    try:
        pack(archive, directory, PATHS)
    except NotInstalled as reason:
        say_loudly(request, f"tests/fuzz did not pack: {reason}")
        return False
    return True


@pytest.mark.parametrize("packer", PACKERS)
def test_an_archive_of_plain_files_is_taken_from_every_packer(
    request: pytest.FixtureRequest, tmp_path: Path, package: Path, packer: str
) -> None:
    """Each packer's formats are accepted, and all tar programs unpack the archives alike."""
    archive = tmp_path / "archive.tar"
    if _packed(request, PACKERS[packer], archive, package):
        assert check_archive(archive, allowed_hosts=[], allowed_buckets=[]).name == "hello"
        assert require_same(archive, find_tar_programs().found)


@pytest.mark.parametrize("packer", [name for name in PACKERS if "ustar" not in name])
def test_an_archive_with_long_names_is_taken_from_every_packer(
    request: pytest.FixtureRequest, tmp_path: Path, package: Path, packer: str
) -> None:
    """The names have over 100 and over 255 bytes, and are cut within a character where a header is full."""
    deep = "k/" * 120
    names = ("d" * 50 + "/" + "e" * 90, "\u00fc" * 60, "\u0436" * 100, f"{deep}long")
    _write(package, {f"ffi/{name}.c": b"x" for name in names})
    archive = tmp_path / "archive.tar"
    if _packed(request, PACKERS[packer], archive, package):
        assert check_archive(archive, allowed_hosts=[], allowed_buckets=[]).name == "hello"
        assert require_same(archive, find_tar_programs().found)


def test_the_archives_of_real_packages_are_taken(tmp_path: Path) -> None:
    """Published manifests with the files that they list, packed like by the command line."""
    archive = tmp_path / "archive.tar"
    for line in REAL_MANIFESTS.read_bytes().splitlines():
        manifest = json.loads(line)
        archive.write_bytes(build_archive(manifest, listed_files(manifest)))
        assert require_same(archive, (PYTHON,)), manifest["name"]


@pytest.mark.parametrize("packer", REFUSED_PACKERS)
def test_an_archive_that_is_not_taken_is_refused_with_how_to_pack_instead(
    request: pytest.FixtureRequest, tmp_path: Path, package: Path, packer: str
) -> None:
    """The message has a command, or says what kind of file the bytes are."""
    pack, words = REFUSED_PACKERS[packer]
    archive = tmp_path / "archive.tar"
    if _packed(request, pack, archive, package):
        with pytest.raises(BadArchive) as refusal:
            check_archive(archive, allowed_hosts=[], allowed_buckets=[])
        assert words in refusal.value.message


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_of_the_page_for_publishers_make_archives_that_are_taken(
    request: pytest.FixtureRequest, tmp_path: Path, package: Path, command: str
) -> None:
    """The commands are used exactly as in docs/packing.md; git packs the committed files."""
    program = next(word for word in command.split() if "=" not in word)
    if shutil.which(program) is None:
        say_loudly(request, f"tests/fuzz did not run a command of docs/packing.md: no {program}")
        return
    if program == "git":
        PACKERS["git archive, a tree"](tmp_path / "other.tar", package, PATHS)
    run(["sh", "-c", command], where=package)
    archive = package / "hello.tar"
    assert check_archive(archive, allowed_hosts=[], allowed_buckets=[]).name == "hello"
    assert require_same(archive, find_tar_programs().found)
