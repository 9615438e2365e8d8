"""The key that signs a local registry's transparency log, created once and kept in its data directory.

The file contains the log's name too, in the format of Go's `note` package. The log's name never changes, but
a local registry's address may change between starts.
"""

from __future__ import annotations

import secrets
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr

from deploy.errors import StartFailed
from indexer.log.note import NoteSigner
from shared.signing import KEY_BYTES
from shared.storage.durable import write_private_file
from shared.verifier_keys import ED25519

HEAD: Final = "PRIVATE+KEY+"


def ensure_log_key(path: Path, origin: str) -> dict[str, Any]:
    """The settings for the key in this file, which is created if missing. Raises OSError, StartFailed.

    origin: the name of a new log.
    """
    if not path.exists():
        write_private_file(path, f"{render_private_key(origin, secrets.token_bytes(KEY_BYTES))}\n")
    try:
        name, seed = parse_private_key(path.read_text().strip())
    except ValueError as error:
        raise StartFailed(f"{path} is damaged: {error}; put it back from a backup") from error
    return {"log_origin": name, "log_key_b64": SecretStr(b64encode(seed).decode())}


def render_private_key(name: str, seed: bytes) -> str:
    """A private key as text: `PRIVATE+KEY+<name>+<id in hex>+<base64>`."""
    key_id = NoteSigner(name, seed).verifier.key_id.hex()
    return f"{HEAD}{name}+{key_id}+{b64encode(bytes([ED25519]) + seed).decode()}"


def parse_private_key(text: str) -> tuple[str, bytes]:
    """Name and 32-byte seed of a private key's text. Raises ValueError, which does not repeat the text."""
    name, _, rest = text.removeprefix(HEAD).partition("+")
    typed = b64decode(rest.partition("+")[2], validate=True)
    if typed[:1] != bytes([ED25519]) or render_private_key(name, typed[1:]) != text:
        raise ValueError("it is not a private key of a log")
    return name, typed[1:]
