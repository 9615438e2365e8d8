"""Stored digests are checked; computed ones are remembered within a limit."""

from __future__ import annotations

import pytest

from shared.storage.digests import REMEMBERED, DigestMemo, parse_digest


@pytest.mark.parametrize("text", [None, "", "a" * 63, "A" * 64, "a" * 64 + "\n", "g" * 64, '"' + "a" * 64])
def test_what_is_not_a_digest_is_taken_for_none(text: str | None) -> None:
    """Other software may store something else under our name."""
    assert parse_digest(text) is None
    assert parse_digest("0a" * 32) == "0a" * 32


def test_the_oldest_digests_are_forgotten_first() -> None:
    """The memo keeps a fixed number, and each only for its revision."""
    memo = DigestMemo()
    for number in range(REMEMBERED + 1):
        memo.put(f"key-{number}", "1", "digest")
    assert memo.get("key-0", "1") is None
    assert memo.get("key-1", "1") == "digest"
    assert memo.get("key-1", "2") is None
