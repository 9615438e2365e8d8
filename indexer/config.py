"""Renders config.json, which depends on the settings alone (contract, 3.3)."""

from __future__ import annotations

from base64 import b64encode

import msgspec
from msgspec import UNSET, UnsetType

from indexer.log.invalid import LogInvalid
from indexer.log.note import NoteSigner
from shared.blobs import CONFIG_KEY
from shared.foreign_json import decode_foreign
from shared.settings import Settings
from shared.storage.interface import Found, Storage


class PublicKey(msgspec.Struct, frozen=True):
    """A key that verifies signatures; clients search the list by id."""

    id: str
    ed25519_pub: str


class SigningConfig(msgspec.Struct, frozen=True):
    """Which signatures readers should expect."""

    kind: str
    public_keys: tuple[PublicKey, ...]


class LogConfig(msgspec.Struct, frozen=True):
    """The URL of the transparency log, and the key that verifies its checkpoints (c2sp.org/signed-note)."""

    url: str
    vkey: str


class IndexConfig(msgspec.Struct, frozen=True, kw_only=True):
    """config.json. dl, api and the log's url end in a slash, because clients join paths to them."""

    dl: str
    api: str
    auth_required: bool = msgspec.field(name="auth-required", default=False)
    sparse: bool = True
    verified_namespaces: tuple[str, ...] | UnsetType = msgspec.field(
        name="verified-namespaces", default=UNSET
    )
    signing: SigningConfig | UnsetType = UNSET
    log: LogConfig | UnsetType = UNSET


def render_config(settings: Settings, *, dl: str | None = None, log: LogConfig | None = None) -> bytes:
    """config.json as compact JSON without a final newline.

    dl, log: URLs of the archives and of the transparency log, for a mirror that serves them itself.
    """
    return msgspec.json.encode(
        IndexConfig(
            dl=dl or f"{settings.public_base}/v1/packages/",
            api=f"{settings.public_base}/v1/",
            auth_required=settings.reads_need_token,
            verified_namespaces=settings.verified_namespaces or UNSET,
            signing=_signing(settings),
            log=log or _log(settings),
        )
    )


def _log(settings: Settings) -> LogConfig | UnsetType:
    key = settings.log_key()
    if key is None:
        return UNSET
    verifier = NoteSigner(key.origin, key.seed).verifier
    return LogConfig(url=f"{settings.public_base}/log/", vkey=str(verifier))


def _signing(settings: Settings) -> SigningConfig | UnsetType:
    own = settings.signing_public_key()
    if own is None:
        return UNSET
    keys = (own, *settings.verifying_keys())
    return SigningConfig(
        kind="ed25519",
        public_keys=tuple(PublicKey(key_id, b64encode(public).decode()) for key_id, public in keys),
    )


class _Published(msgspec.Struct, frozen=True):
    """The fields that are read from a config.json."""

    log: LogConfig | None = None


def parse_log(config: bytes) -> LogConfig | None:
    """The log that a config.json names, or None. Raises LogInvalid."""
    try:
        return decode_foreign(config, _Published).log
    except msgspec.MsgspecError as error:
        raise LogInvalid(f"config.json cannot be read: {error}") from error


async def published_log(storage: Storage) -> LogConfig | None:
    """The log that the config.json in a store names, or None. Raises LogInvalid."""
    found = await storage.get(CONFIG_KEY)
    return parse_log(found.body) if isinstance(found, Found) else None
