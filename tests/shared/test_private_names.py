"""Which names a pattern of private packages covers."""

from __future__ import annotations

import pytest

from shared.private_names import is_private

PATTERNS = {"acme-*": frozenset(), "secret_tool": frozenset({"alice"})}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("acme-x", True),
        ("acme_x", True),
        ("acme-", True),
        ("acme", False),
        ("acmecorp", False),
        ("an-acme-x", False),
        ("secret_tool", True),
        ("secret-tool", True),
        ("secret-tools", False),
    ],
)
def test_a_name_and_its_look_alikes_are_private_together(name: str, expected: bool) -> None:
    """A slip in a name must publish nothing."""
    assert is_private(name, PATTERNS) is expected
    assert not is_private(name, {})
