"""The registry's configuration document, a pure function of settings (contract, 3.3)."""

from __future__ import annotations

from base64 import b64encode

import msgspec
from msgspec import UNSET, UnsetType

from shared.settings import Settings
from shared.signing import Signer


class PublicKey(msgspec.Struct, frozen=True):
    """A key that verifies signatures; clients search the list by id."""

    id: str
    ed25519_pub: str


class SigningConfig(msgspec.Struct, frozen=True):
    """Which signatures readers should expect."""

    kind: str
    public_keys: tuple[PublicKey, ...]


class IndexConfig(msgspec.Struct, frozen=True, kw_only=True):
    """config.json. dl and api end in a slash, because clients join paths to them."""

    dl: str
    api: str
    auth_required: bool = msgspec.field(name="auth-required", default=False)
    sparse: bool = True
    verified_namespaces: tuple[str, ...] | UnsetType = msgspec.field(
        name="verified-namespaces", default=UNSET
    )
    signing: SigningConfig | UnsetType = UNSET


def render_config(settings: Settings, *, dl: str | None = None) -> bytes:
    """config.json as compact JSON without a final newline. dl: where a mirror has its archives."""
    signer = settings.signer()
    return msgspec.json.encode(
        IndexConfig(
            dl=dl or f"{settings.public_base}/v1/packages/",
            api=f"{settings.public_base}/v1/",
            verified_namespaces=settings.verified_namespaces or UNSET,
            signing=_signing(signer, settings) if signer else UNSET,
        )
    )


def _signing(signer: Signer, settings: Settings) -> SigningConfig:
    keys = ((signer.key_id, signer.public_key), *settings.verifying_keys())
    return SigningConfig(
        kind="ed25519",
        public_keys=tuple(PublicKey(key_id, b64encode(public).decode()) for key_id, public in keys),
    )
