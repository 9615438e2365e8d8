"""The keys that sign versions and the transparency log."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, Field, model_validator

from shared.setting_types import CommaList, OptionalSecret, OptionalText
from shared.signing import Signer, SigningKey, named_public_key, parse_public_key
from shared.variables import PREFIX, SettingsError, require, set_by
from shared.verifier_keys import Witness


class SigningSettings(BaseModel):
    """Keys."""

    pkg_signing_ed25519_secret_b64: OptionalSecret = Field(
        None, description="Base64 of the 32-byte Ed25519 seed that signs new versions; empty: no signing."
    )
    pkg_signing_key_id: OptionalText = Field(
        None, description="Id of the signing key; required with the secret, and with the public key."
    )
    pkg_signing_public_key_b64: OptionalText = Field(
        None,
        description="Base64 of the public signing key, for workers: they publish it to readers and need no "
        "secret. Empty: it is derived from the secret.",
    )
    pkg_signing_kind: str = Field(
        "ed25519", description="Kind of the signing key; read only if the secret is set."
    )
    pkg_signing_extra_public_keys: CommaList = Field(
        (),
        description="Older keys that still verify, each as `ID=BASE64`; config.json lists them too.",
    )
    log_origin: OptionalText = Field(
        None,
        description="Name of the transparency log, the first line of its checkpoints; it never changes. "
        "Empty: the public base without its scheme.",
    )
    log_key_b64: OptionalSecret = Field(
        None, description="Base64 of the 32-byte Ed25519 seed that signs the transparency log; empty: no log."
    )
    log_witnesses: CommaList = Field(
        (),
        description="Witnesses (c2sp.org/tlog-witness) that are asked to cosign the log's checkpoints, each "
        "as `KEY URL`: a verifier key `NAME+ID+BASE64` and the witness's submission prefix. Empty: none.",
    )

    @model_validator(mode="after")
    def _keys_are_whole(self) -> Self:
        if self.pkg_signing_public_key_b64 is not None:
            require(self, "pkg_signing_key_id")
        if self.pkg_signing_ed25519_secret_b64 is not None:
            require(self, "pkg_signing_key_id")
            if self.pkg_signing_kind.strip() != "ed25519":
                raise SettingsError(f"{PREFIX}PKG_SIGNING_KIND is not supported; allowed: ed25519")
        with set_by(f"{PREFIX}PKG_SIGNING_ED25519_SECRET_B64"):
            self.signer()
        with set_by(f"{PREFIX}PKG_SIGNING_PUBLIC_KEY_B64"):
            self.signing_public_key()
        with set_by(f"{PREFIX}PKG_SIGNING_EXTRA_PUBLIC_KEYS"):
            self.verifying_keys()
        with set_by(f"{PREFIX}LOG_WITNESSES"):
            self.witnesses()
        return self

    def signer(self) -> Signer | None:
        """Signs new versions; None when signing is off."""
        if self.pkg_signing_ed25519_secret_b64 is None or self.pkg_signing_key_id is None:
            return None
        key = SigningKey.parse(
            self.pkg_signing_key_id, self.pkg_signing_ed25519_secret_b64.get_secret_value()
        )
        return Signer(key.key_id, key.seed)

    def signing_public_key(self) -> tuple[str, bytes] | None:
        """Id and 32 raw bytes of the key that verifies new versions; None when signing is off.

        Raises ValueError if it is not a key, or not the secret's.
        """
        signer = self.signer()
        own = None if signer is None else (signer.key_id, signer.public_key)
        if self.pkg_signing_public_key_b64 is None or self.pkg_signing_key_id is None:
            return own
        told = named_public_key(self.pkg_signing_key_id, self.pkg_signing_public_key_b64)
        if own not in (None, told):
            raise ValueError("it is not the public key of the secret that is set")
        return told

    def verifying_keys(self) -> tuple[tuple[str, bytes], ...]:
        """Id and 32 raw bytes of each older public key that still verifies."""
        return tuple(parse_public_key(entry) for entry in self.pkg_signing_extra_public_keys)

    def witnesses(self) -> tuple[Witness, ...]:
        """Those who are asked to cosign the log's checkpoints, each under a name of its own."""
        found = tuple(map(Witness.parse, self.log_witnesses))
        if len({witness.name for witness in found}) < len(found):
            raise ValueError("two witnesses have the same name")
        return found
