"""Signed notes: the examples of c2sp.org/signed-note, and refused notes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.log.invalid import LogInvalid
from indexer.log.note import Note, NoteSigner, Signature, VerifierKey
from shared.signing import is_key_name

KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
NOTE = (
    "This is an example message.\n\n"
    "\u2014 example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHj"
    "G1Yu72IneyaQM=\n"
).encode()
POEM = (
    "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned \u00e8 subito sera.\n\n"
    "\u2014 quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcX"
    "xj99ihAQwaqP3ZekRwNtIc=\n"
).encode()
SEED = bytes(range(32))
OTHER = NoteSigner("other.example", bytes(32))

texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=60).map(lambda text: f"{text}\n")


def test_the_example_of_the_standard_verifies() -> None:
    """Its key is parsed, and rendered the same again."""
    key = VerifierKey.parse(KEY)
    assert str(key) == KEY
    note = Note.parse(NOTE)
    note.require_signed_by([key])
    assert note.text == "This is an example message.\n"
    assert note.render() == NOTE


def test_a_text_with_empty_lines_ends_at_the_last_one() -> None:
    """This is the standard's other example."""
    note = Note.parse(POEM)
    assert note.text.endswith("sole:\n\ned \u00e8 subito sera.\n")
    assert [signature.name for signature in note.signatures] == ["quasimodo.example/salvatore"]
    assert note.render() == POEM


@given(texts)
def test_what_is_signed_verifies_under_its_key_and_no_other(text: str) -> None:
    """The key is found by name and id."""
    signer = NoteSigner("x07.example/log", SEED)
    note = Note.parse(signer.sign(text))
    assert note.text == text
    note.require_signed_by([signer.verifier, OTHER.verifier])
    with pytest.raises(LogInvalid, match=r"not signed by other\.example"):
        note.require_signed_by([OTHER.verifier])


def test_a_changed_text_does_not_verify() -> None:
    """A note is also refused if one of its signatures claims a known key and is wrong."""
    signer = NoteSigner("x07.example/log", SEED)
    good = Note.parse(signer.sign("a text\n"))
    with pytest.raises(LogInvalid, match="does not verify"):
        Note("another text\n", good.signatures).require_signed_by([signer.verifier])
    junk = Signature(OTHER.verifier.name, OTHER.verifier.key_id, bytes(64))
    both = Note(good.text, (*good.signatures, junk))
    both.require_signed_by([signer.verifier])  # the line of an unknown key is ignored
    with pytest.raises(LogInvalid, match="does not verify"):
        both.require_signed_by([signer.verifier, OTHER.verifier])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"text\n",
        b"text\n\n",
        b"text\n\n\n",
        b"text\xff\n\n" + NOTE.partition(b"\n\n")[2],
        b"te\rxt\n\n" + NOTE.partition(b"\n\n")[2],
        NOTE[:-1],
        NOTE.replace("\u2014".encode(), b"-"),
        NOTE.replace(b"aQM=", b"aQM"),
        "text\n\n\u2014 a+b Uw2QOkn8srV1\n".encode(),
        "text\n\n\u2014 name Uw2QOg==\n".encode(),
        b"x" * 1_000_001,
        b"text\n\n" + "\u2014 n Uw2QOkn8\n".encode() * 101,
    ],
)
def test_what_is_no_signed_note_is_refused(body: bytes) -> None:
    """Each refusal has a message."""
    with pytest.raises(LogInvalid):
        Note.parse(body)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.com/foo",
        "example.com/foo+530d903a",
        "example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/bar+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2",
        "example.com/foo+530d903a+BukyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "a name+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
    ],
)
def test_what_is_no_verifier_key_is_refused(text: str) -> None:
    """This includes a key whose id does not match its name and bytes."""
    with pytest.raises(LogInvalid):
        VerifierKey.parse(text)


@given(st.text(max_size=8))
def test_a_signer_takes_only_names_that_a_note_can_have(name: str) -> None:
    """Otherwise its notes could not be parsed."""
    if is_key_name(name) and name.isprintable():
        Note.parse(NoteSigner(name, SEED).sign("text\n"))
    elif not is_key_name(name):
        with pytest.raises(ValueError, match="key's name"):
            NoteSigner(name, SEED)
