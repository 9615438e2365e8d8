"""The key that signs the versions of a local registry, created once and kept in its data directory."""

from __future__ import annotations

import hashlib
import secrets
from base64 import b64encode
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from deploy.errors import StartFailed
from shared.signing import KEY_BYTES, Signer, SigningKey
from shared.storage.durable import write_private_file


def ensure_signing_key(path: Path) -> dict[str, Any]:
    """The settings for the key in this file, which is created if missing. Raises OSError, StartFailed."""
    if not path.exists():
        write_private_file(path, f"{b64encode(secrets.token_bytes(KEY_BYTES)).decode()}\n")
    seed = path.read_text().strip()
    try:
        key = SigningKey.parse("local", seed)
    except ValueError as error:
        raise StartFailed(f"{path} is damaged: {error}; remove it to get another key") from error
    # The id is derived from the key, so a replaced key is not mistaken for this one.
    fingerprint = hashlib.sha256(Signer(key.key_id, key.seed).public_key).hexdigest()[:8]
    return {
        "pkg_signing_ed25519_secret_b64": SecretStr(seed),
        "pkg_signing_key_id": f"local-{fingerprint}",
    }
