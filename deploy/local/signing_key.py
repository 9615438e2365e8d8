"""The key that signs versions of a local registry, made once and kept in its data directory."""

from __future__ import annotations

import hashlib
import secrets
from base64 import b64encode
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from deploy.durable import write_private_file
from deploy.errors import StartFailed
from shared.signing import KEY_BYTES, Signer, SigningKey


def ensure_signing_key(path: Path) -> dict[str, Any]:
    """Settings of the key in this file, which is made when missing. Raises OSError, StartFailed."""
    if not path.exists():
        write_private_file(path, f"{b64encode(secrets.token_bytes(KEY_BYTES)).decode()}\n")
    seed = path.read_text().strip()
    try:
        key = SigningKey.parse("local", seed)
    except ValueError as error:
        raise StartFailed(f"{path} is damaged: {error}; remove it to get another key") from error
    # The id follows from the key, so a key that was replaced is not taken for this one.
    fingerprint = hashlib.sha256(Signer(key.key_id, key.seed).public_key).hexdigest()[:8]
    return {
        "pkg_signing_ed25519_secret_b64": SecretStr(seed),
        "pkg_signing_key_id": f"local-{fingerprint}",
    }
