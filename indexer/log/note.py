"""Signed notes (c2sp.org/signed-note): a text followed by signature lines, with Ed25519 (RFC 8032). Pure."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from indexer.log.invalid import LogInvalid
from shared.signing import is_key_name
from shared.verifier_keys import ED25519, KEY_ID_BYTES, decode_base64, key_id_of, parse_verifier_key

MAX_NOTE_BYTES: Final = 1_000_000
MAX_SIGNATURES: Final = 100
_DASH: Final = "\u2014 "


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key under a name. kind: ED25519 or COSIGNATURE. public_key: 32 raw bytes."""

    name: str
    public_key: bytes
    kind: int = ED25519

    @property
    def key_id(self) -> bytes:
        """The four bytes that identify the key in a signature."""
        return key_id_of(self.name, self.kind, self.public_key)

    def __str__(self) -> str:
        """The key as text: `<name>+<id in hex>+<base64>`."""
        typed = bytes([self.kind]) + self.public_key
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(typed).decode()}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """A key from its text. Raises LogInvalid, also for keys of other kinds than Ed25519."""
        try:
            name, kind, public_key = parse_verifier_key(text)
        except ValueError as error:
            raise LogInvalid(str(error)) from None
        return cls(name, public_key, kind)

    def has_signed(self, message: bytes, signature: bytes) -> bool:
        """True if the key made this signature. signature: any bytes."""
        try:
            VerifyKey(self.public_key).verify(message, signature)
        except (BadSignatureError, ValueError):
            return False
        return True


class NoteSigner:
    """Signs notes with one Ed25519 key."""

    def __init__(self, name: str, seed: bytes) -> None:
        """name: of the key. seed: 32 secret bytes. Raises ValueError."""
        if not is_key_name(name):
            raise ValueError("a key's name must not be empty, and has no white space and no plus sign")
        self._key = SigningKey(seed)
        self.verifier = VerifierKey(name, bytes(self._key.verify_key))

    def sign(self, text: str) -> bytes:
        """The signed note. text: ends in a newline."""
        signature = self._key.sign(text.encode()).signature
        return Note(text, (Signature(self.verifier.name, self.verifier.key_id, signature),)).render()


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line. key_id: 4 bytes. signature: bytes whose format depends on the kind of key."""

    name: str
    key_id: bytes
    signature: bytes

    def is_of(self, key: VerifierKey) -> bool:
        """True if the line names this key; the signature is not verified."""
        return self.name == key.name and self.key_id == key.key_id

    def render(self) -> str:
        """The line, with its newline."""
        return f"{_DASH}{self.name} {base64.b64encode(self.key_id + self.signature).decode()}\n"

    @classmethod
    def parse(cls, line: str) -> Self:
        """A line without its newline. Raises LogInvalid."""
        name, space, encoded = line.removeprefix(_DASH).partition(" ")
        raw = decode_base64(encoded)
        if not line.startswith(_DASH) or not space or not is_key_name(name) or raw is None:
            raise LogInvalid("a signature line of the note is malformed")
        if len(raw) <= KEY_ID_BYTES:
            raise LogInvalid("a signature of the note is too short")
        return cls(name, raw[:KEY_ID_BYTES], raw[KEY_ID_BYTES:])


@dataclass(frozen=True, slots=True)
class Note:
    """A text that ends in a newline, and its signatures, not verified yet."""

    text: str
    signatures: tuple[Signature, ...]

    def render(self) -> bytes:
        """The note's bytes."""
        return f"{self.text}\n{''.join(signature.render() for signature in self.signatures)}".encode()

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """A note from its bytes. Raises LogInvalid."""
        if len(body) > MAX_NOTE_BYTES:
            raise LogInvalid(f"the note has {len(body)} bytes; {MAX_NOTE_BYTES} are allowed")
        try:
            whole = body.decode()
        except UnicodeDecodeError:
            raise LogInvalid("the note is not UTF-8") from None
        if any(ord(character) < 0x20 and character != "\n" for character in whole):
            raise LogInvalid("the note has a control character")
        text, blank, lines = whole.rpartition("\n\n")
        if not blank or not lines.endswith("\n"):
            raise LogInvalid("the note has no signatures")
        signatures = lines.removesuffix("\n").split("\n")
        if len(signatures) > MAX_SIGNATURES:
            raise LogInvalid(f"the note has {len(signatures)} signatures; {MAX_SIGNATURES} are allowed")
        return cls(f"{text}\n", tuple(map(Signature.parse, signatures)))

    def require_signed_by(self, keys: Sequence[VerifierKey]) -> None:
        """Raise LogInvalid unless one of the keys signed the text, or if a line of one does not verify.

        keys: of the kind ED25519. Signatures of other keys are ignored, as the standard demands.
        """
        signed = 0
        for signature in self.signatures:
            for key in keys:
                if signature.is_of(key):
                    if not key.has_signed(self.text.encode(), signature.signature):
                        raise LogInvalid(f"the signature of {key.name} does not verify")
                    signed += 1
        if not signed:
            names = ", ".join(str(key) for key in keys)
            raise LogInvalid(f"the note is not signed by {names}")
