"""Errors for people: docs/errors.md explains each code, and each answer has a specific message."""

from __future__ import annotations

from shared.errors import RegistryError
from tests.docs_tables import all_errors, errors_table


def test_every_code_has_a_sentence_for_people() -> None:
    """No row of the page is empty or written for programmers."""
    rows = [row.split(" | ") for row in errors_table().splitlines()[2:]]
    explained = {code.strip("`"): meaning.removesuffix(" |") for _, code, meaning in rows}
    assert set(explained) == {error.code for error in all_errors()}
    for code, meaning in explained.items():
        assert meaning[0].isupper() or meaning.startswith(("x07-package.json", "meta.")), code
        assert meaning.endswith("."), code
        assert "Base of" not in meaning, code


def test_every_code_has_a_message_of_its_own() -> None:
    """ "internal error" for a client's mistake would send people to the wrong place."""
    for error in all_errors():
        if error.code != RegistryError.code:
            assert error.default_message != RegistryError.default_message, error.__name__
