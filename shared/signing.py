"""Ed25519 signatures over published versions (contract, 3.9; RFC 8032, pure), and the keys in settings."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import Final, Self

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey as NaclSigningKey
from nacl.signing import VerifyKey

from shared.text import trim

KIND: Final = "ed25519"
KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The configured key. seed: 32 secret bytes, never printed."""

    key_id: str
    seed: bytes = field(repr=False)

    @classmethod
    def parse(cls, key_id: str, seed_base64: str) -> Self:
        """A key from its settings. Raises ValueError, whose message does not repeat the secret."""
        return cls(_parse_key_id(key_id), _parse_key(seed_base64))


@dataclass(frozen=True, slots=True)
class LogKey:
    """The key of the transparency log. origin: the log's name. seed: 32 secret bytes, never printed."""

    origin: str
    seed: bytes = field(repr=False)

    @classmethod
    def parse(cls, origin: str, seed_base64: str) -> Self:
        """A key from its settings. Raises ValueError, whose message does not repeat the secret."""
        if not is_key_name(origin):
            raise ValueError("the origin of a log must not be empty, and has no white space and no plus sign")
        return cls(origin, _parse_key(seed_base64))


def is_key_name(name: str) -> bool:
    """True for a name that a key of a log may have (c2sp.org/signed-note)."""
    return bool(name) and "+" not in name and not any(one.isspace() or ord(one) < 0x20 for one in name)


class Signer:
    """Signs versions with one key. public_key: the 32 raw bytes that verify its signatures."""

    def __init__(self, key_id: str, seed: bytes) -> None:
        """seed: 32 bytes, else ValueError."""
        self.key_id = key_id
        self._key = NaclSigningKey(seed)
        self.public_key = bytes(self._key.verify_key)

    def sign(self, name: str, version: str, sha256: str) -> bytes:
        """The signature of a version whose archive has this checksum: 64 raw bytes."""
        return self._key.sign(message(name, version, sha256)).signature


def message(name: str, version: str, sha256: str) -> bytes:
    """The signed message. sha256: of the archive, 64 lower-case hex digits. Each value is trimmed."""
    return (f"x07.pkg.sig.v1\nname={trim(name)}\nversion={trim(version)}\nsha256={trim(sha256)}\n").encode()


def verify(public_key: bytes, signature: bytes, *, name: str, version: str, sha256: str) -> bool:
    """True if the key made the signature. public_key: 32 bytes, else ValueError; signature: any bytes."""
    key = VerifyKey(public_key)
    if len(signature) != SIGNATURE_BYTES:
        return False
    try:
        key.verify(message(name, version, sha256), signature)
    except BadSignatureError:
        return False
    return True


def parse_public_key(entry: str) -> tuple[str, bytes]:
    """Id and 32 raw bytes of a key written `ID=BASE64`. Raises ValueError."""
    key_id, equals, key_base64 = entry.partition("=")
    if not equals:
        raise ValueError("a public key is written ID=BASE64")
    return named_public_key(key_id, key_base64)


def named_public_key(key_id: str, key_base64: str) -> tuple[str, bytes]:
    """Id and 32 raw bytes of a public key. Raises ValueError."""
    return _parse_key_id(key_id), _parse_key(key_base64)


def _parse_key_id(text: str) -> str:
    key_id = trim(text)
    if not key_id:
        raise ValueError("the key id must not be empty")
    return key_id


def _parse_key(text: str) -> bytes:
    """32 bytes from standard, padded, canonical base64 (RFC 4648, 4)."""
    encoded = trim(text)
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES or base64.b64encode(key).decode() != encoded:
        raise ValueError("a key is the standard padded base64 of exactly 32 bytes")
    return key
