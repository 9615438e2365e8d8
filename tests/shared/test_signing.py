"""Signatures: the exact message, the vectors of RFC 8032, and keys in the settings."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import VerifyKey

from shared.signing import Signer, SigningKey, message, parse_public_key, verify

SHA256 = "ab" * 32
# RFC 8032, 7.1, test 1: the seed and its public key.
SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
PUBLIC_KEY = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")


def test_the_message_is_the_one_of_the_contract() -> None:
    """Four lines with LF and a final newline."""
    expected = f"x07.pkg.sig.v1\nname=hello\nversion=0.1.0\nsha256={SHA256}\n".encode()
    assert message("hello", "0.1.0", SHA256) == expected


def test_values_in_the_message_are_trimmed() -> None:
    """Old rows may have white space around a value."""
    assert message(" hello\u3000", "\t0.1.0", f"{SHA256}\n") == message("hello", "0.1.0", SHA256)


def test_the_public_key_is_derived_from_the_seed() -> None:
    """RFC 8032, 7.1, test 1."""
    assert Signer("k", SEED).public_key == PUBLIC_KEY


def test_a_signature_verifies_with_plain_ed25519() -> None:
    """A client needs only RFC 8032 and the message to check it."""
    signature = Signer("k", SEED).sign("hello", "0.1.0", SHA256)
    assert len(signature) == 64
    VerifyKey(PUBLIC_KEY).verify(message("hello", "0.1.0", SHA256), signature)


@pytest.mark.parametrize(
    ("name", "version", "sha256"),
    [("hallo", "0.1.0", SHA256), ("hello", "0.1.1", SHA256), ("hello", "0.1.0", "cd" * 32)],
)
def test_a_signature_holds_for_one_version_only(name: str, version: str, sha256: str) -> None:
    """Any other name, version or checksum fails."""
    signature = Signer("k", SEED).sign("hello", "0.1.0", SHA256)
    assert verify(PUBLIC_KEY, signature, name="hello", version="0.1.0", sha256=SHA256)
    assert not verify(PUBLIC_KEY, signature, name=name, version=version, sha256=sha256)


@given(st.binary(max_size=80))
def test_junk_is_never_a_signature(junk: bytes) -> None:
    """This holds for any length."""
    assert not verify(PUBLIC_KEY, junk, name="hello", version="0.1.0", sha256=SHA256)


@given(st.binary(min_size=32, max_size=32))
def test_a_key_is_read_back_from_its_base64(seed: bytes) -> None:
    """White space around either part is ignored."""
    key = SigningKey.parse(" key-1 ", f" {base64.b64encode(seed).decode()}\n")
    assert key == SigningKey("key-1", seed)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "AAAA",
        base64.b64encode(b"x" * 31).decode(),
        base64.b64encode(b"x" * 33).decode(),
        base64.b64encode(SEED).decode().rstrip("="),
        base64.b64encode(b"\xff" * 32).decode().replace("/", "_"),
        base64.b64encode(bytes(32)).decode().replace("A=", "B="),
        "é" * 44,
    ],
)
def test_a_key_that_is_not_base64_of_32_bytes_is_refused(text: str) -> None:
    """Length, padding, alphabet and unused bits are checked; the message omits the secret."""
    with pytest.raises(ValueError, match="exactly 32 bytes") as refusal:
        SigningKey.parse("key-1", text)
    assert not text or text not in str(refusal.value)


def test_a_key_needs_an_id() -> None:
    """Clients look keys up by id."""
    with pytest.raises(ValueError, match="key id"):
        SigningKey.parse(" ", base64.b64encode(SEED).decode())


def test_a_key_does_not_print_its_seed() -> None:
    """Settings are logged at the start."""
    assert repr(SigningKey("key-1", SEED)) == "SigningKey(key_id='key-1')"


def test_a_public_key_is_written_with_its_id() -> None:
    """The first `=` separates; base64 may end in more of them."""
    assert parse_public_key(f"old={base64.b64encode(PUBLIC_KEY).decode()}") == ("old", PUBLIC_KEY)


@pytest.mark.parametrize("entry", ["", "old", "=AAAA", "old=", "old=AAAA"])
def test_a_malformed_public_key_is_refused(entry: str) -> None:
    """It has no id, no key, or a key of the wrong length."""
    with pytest.raises(ValueError, match="key"):
        parse_public_key(entry)
