"""Renders a mirror's config.json and catalog. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from indexer.catalog import HEAD, TAIL
from indexer.config import IndexConfig
from indexer.log.invalid import LogInvalid
from shared.foreign_json import decode_foreign


def render_mirror_config(body: bytes, dl: str, vkey: str | None) -> bytes:
    """The origin's config.json, with archives and log in the mirror. dl: ends in `dl/`."""
    document = decode_foreign(body, dict[str, Any])
    document["dl"] = dl
    document.pop("log", None)
    if vkey is not None:
        document["log"] = {"url": f"{dl.removesuffix('dl/')}log/", "vkey": vkey}
    return msgspec.json.encode(document)


def require_same_keys(known: IndexConfig, now: IndexConfig) -> None:
    """Raise LogInvalid if a signing key has other bytes under its id than before."""
    before, after = _keys_of(known), _keys_of(now)
    for key_id in before.keys() & after.keys():
        if before[key_id] != after[key_id]:
            raise LogInvalid(f"config.json has another public key under the id {key_id!r} than before")


def _keys_of(config: IndexConfig) -> dict[str, str]:
    if isinstance(config.signing, msgspec.UnsetType):
        return {}
    return {key.id: key.ed25519_pub for key in config.signing.public_keys}


class _Catalog(msgspec.Struct, frozen=True):
    packages: tuple[msgspec.Raw, ...]


class _Package(msgspec.Struct, frozen=True):
    name: str


def names_in_catalog(body: bytes) -> Iterator[str]:
    """The packages that a catalog lists. Raises msgspec.MsgspecError."""
    for package in decode_foreign(body, _Catalog).packages:
        yield decode_foreign(package, _Package).name


def catalog_of(body: bytes, is_there: Callable[[str], bool]) -> bytes:
    """The catalog, reduced to existing packages. Raises msgspec.MsgspecError."""
    packages = decode_foreign(body, _Catalog).packages
    kept = [one for one in packages if is_there(decode_foreign(one, _Package).name)]
    if len(kept) == len(packages):
        return body
    return HEAD + b",".join(bytes(one) for one in kept) + TAIL
