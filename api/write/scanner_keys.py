"""GitHub's public keys for reports of leaked tokens: fetches them, and verifies signatures.

GitHub signs the raw body: ECDSA with P-256 and SHA-256, the signature in DER and base64.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Mapping
from typing import Annotated

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from api.write.remote_json import RemoteJson, RemoteKeys, unavailable
from shared.credential_errors import SignatureInvalid


class _PublicKey(msgspec.Struct, frozen=True):
    key_identifier: Annotated[str, msgspec.Meta(max_length=256)]
    key: str


class _PublicKeys(msgspec.Struct, frozen=True):
    public_keys: Annotated[tuple[_PublicKey, ...], msgspec.Meta(max_length=100)]


class ScannerKeys:
    """GitHub's keys for such reports, from the configured address."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._url = url
        self._remote = RemoteJson(timeout_s)
        self._keys = RemoteKeys(self._load)

    async def verify(self, key_id: str, signature: str, body: bytes) -> None:
        """Raise SignatureInvalid unless the key signed the body; Unavailable without keys."""
        key = await self._keys.get(key_id)
        if key is None:
            raise SignatureInvalid("no key of GitHub's has this identifier")
        try:
            key.verify(b64decode(signature, validate=True), body, ECDSA(SHA256()))
        except (InvalidSignature, binascii.Error, ValueError):
            raise SignatureInvalid from None

    async def close(self) -> None:
        """Close every connection."""
        await self._remote.close()

    async def _load(self) -> Mapping[str, EllipticCurvePublicKey]:
        try:
            document = msgspec.json.decode(await self._remote.get(self._url), type=_PublicKeys)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise unavailable(self._url, "not a list of public keys") from None
        keys = {each.key_identifier: _p256(each.key) for each in document.public_keys}
        return {key_id: key for key_id, key in keys.items() if key is not None}


def _p256(pem: str) -> EllipticCurvePublicKey | None:
    """The key; None if it is not on the curve P-256."""
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        return None
    is_p256 = isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1)
    return key if is_p256 and isinstance(key, EllipticCurvePublicKey) else None


def open_scanner_keys(url: str | None, timeout_s: float) -> ScannerKeys | None:
    """The keys at this address; None where reports are not accepted. Connects when first needed."""
    return None if url is None else ScannerKeys(url, timeout_s)
