"""The files of an archive are listed with sizes; of text, as much is shown as there is room for."""

from __future__ import annotations

import io

import pytest

from indexer.pages.archive_files import MAX_FILES, MAX_TEXT_BYTES, MAX_TEXTS_BYTES, Listing, list_files
from tests.archives import END, entry, hello_archive


def listing(archive: bytes) -> Listing:
    """What is in an archive that is listed."""
    found = list_files(io.BytesIO(archive))
    assert found is not None
    return found


def texts(*files: tuple[str, bytes]) -> dict[str, str | None]:
    """The texts by path that are shown of these files."""
    found = listing(b"".join(entry(path, data) for path, data in files) + END)
    return {each.path: each.text for each in found.files}


def test_files_are_listed_by_path_with_their_sizes() -> None:
    """Directories are not listed, because the paths name them."""
    found = listing(entry("b", b"two") + entry("a/", kind=b"5") + entry("a/c", b"") + END)
    shown = [(each.path, each.size_bytes, each.text) for each in found.files]
    assert shown == [("a/c", 0, ""), ("b", 3, "two")]
    assert (found.count, found.size_bytes) == (2, 3)
    assert '"greeting"' in (listing(hello_archive()).files[-1].text or "")


@pytest.mark.parametrize(
    "data", [b"\0", b"a\x1b[31m", b"\xff\xfe", b"caf\xe9", b"\x89PNG\r\n\x1a\n", b"\xc3"]
)
def test_what_is_not_text_has_only_a_size(data: bytes) -> None:
    """Text is UTF-8 without control characters but line ends, tabs and form feeds."""
    assert texts(("a", data)) == {"a": None}
    assert texts(("a", "é\t\r\n\f\U0001f600".encode())) == {"a": "é\t\r\n\f\U0001f600"}


def test_a_long_text_is_cut_between_characters() -> None:
    """The page says so."""
    text = "a" + "é" * MAX_TEXT_BYTES
    [found] = listing(entry("a", text.encode()) + END).files
    assert found.text == text[: MAX_TEXT_BYTES // 2]
    assert not found.is_whole


def test_all_texts_together_and_the_number_of_files_are_limited() -> None:
    """The remaining files have only sizes, then only a number."""
    count = MAX_TEXTS_BYTES // MAX_TEXT_BYTES
    found = texts(*((f"{number:02}", b"x" * MAX_TEXT_BYTES) for number in range(count + 1)))
    assert [len(text or "") for text in found.values()] == [MAX_TEXT_BYTES] * count + [0]
    assert found[f"{count:02}"] is None
    many = listing(b"".join(entry(f"{number:05}", b"") for number in range(MAX_FILES + 1)) + END)
    assert (len(many.files), many.count) == (MAX_FILES, MAX_FILES + 1)


@pytest.mark.parametrize(
    "archive", [b"", b"\x1f\x8b\x08", entry("a", b"x") + b"x" * 512, entry("a", kind=b"2")]
)
def test_an_archive_of_a_form_that_is_not_accepted_is_not_listed(archive: bytes) -> None:
    """Older releases took what is refused today."""
    assert list_files(io.BytesIO(archive)) is None
