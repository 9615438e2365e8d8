"""Public keys of logs and of witnesses as text, `NAME+ID+BASE64` (c2sp.org/signed-note). Pure."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Self
from urllib.parse import urlsplit

from shared.signing import is_key_name

ED25519: Final = 0x01
COSIGNATURE: Final = 0x04
"""Types of a key: of plain signatures, and of a witness's timestamped ones (c2sp.org/tlog-cosignature)."""

KEY_BYTES: Final = 32
KEY_ID_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class Witness:
    """Somebody who cosigns checkpoints. public_key: 32 raw bytes. url: its submission prefix."""

    name: str
    public_key: bytes
    url: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """A witness written `KEY URL`. Raises ValueError."""
        vkey, _, url = text.strip().partition(" ")
        name, kind, public_key = parse_verifier_key(vkey)
        if kind != COSIGNATURE:
            raise ValueError(f"the key of {name} is not a witness's; one has the type {COSIGNATURE}")
        address = urlsplit(url.strip())
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ValueError(f"the witness {name} has no URL; one is written KEY https://HOST/PREFIX")
        return cls(name, public_key, url.strip().rstrip("/"))


def parse_verifier_key(text: str) -> tuple[str, int, bytes]:
    """Name, type and 32 raw bytes of a key. Raises ValueError, also for a key other than Ed25519."""
    name, plus, rest = text.strip().partition("+")
    written_id, second_plus, encoded = rest.partition("+")
    typed = decode_base64(encoded)
    if not (plus and second_plus and is_key_name(name)) or typed is None:
        raise ValueError(f"{text!r} is no verifier key; one is written NAME+ID+BASE64")
    if len(typed) != 1 + KEY_BYTES or typed[0] not in (ED25519, COSIGNATURE):
        raise ValueError(f"the key of {name} is of a kind that is not supported; allowed: Ed25519")
    key_id = key_id_of(name, typed[0], typed[1:]).hex()
    if key_id != written_id:
        raise ValueError(f"the id of the key of {name} is {written_id}, but its bytes have {key_id}")
    return name, typed[0], typed[1:]


def key_id_of(name: str, kind: int, public_key: bytes) -> bytes:
    """The four bytes that stand in a signature for the key."""
    return sha256(name.encode() + b"\n" + bytes([kind]) + public_key).digest()[:KEY_ID_BYTES]


def decode_base64(text: str) -> bytes | None:
    """Bytes of standard, padded, canonical base64 (RFC 4648, 4); None for anything else."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if base64.b64encode(raw).decode() == text else None
