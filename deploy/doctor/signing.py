"""Checks that the signing key works, and that config.json names the key of every stored signature."""

from __future__ import annotations

from base64 import b64encode
from typing import Final

from deploy.doctor import queries
from deploy.doctor.finding import Finding, failed, off, ok
from shared.database import Database
from shared.settings import Settings
from shared.signing import verify
from shared.text import trim

CHECK: Final = "signing key"
MEND: Final = "fix the database first; it knows which keys signed the versions"
TELL: Final = "list its public key in X07_REGISTRY_PKG_SIGNING_EXTRA_PUBLIC_KEYS (ID=BASE64), with a key set"
KEEP: Final = (
    "set the secret that belongs to this id, or give the new secret another id and list the old public key"
)


async def examine_signing(settings: Settings) -> list[Finding]:
    """One finding."""
    signer, own = settings.signer(), settings.signing_public_key()
    told = dict([*settings.verifying_keys(), *([] if own is None else [own])])
    if signer is not None:
        probe = {"name": "probe", "version": "0.0.0", "sha256": "0" * 64}
        if not verify(signer.public_key, signer.sign(**probe), **probe):
            return [failed(CHECK, "its signatures do not verify", "create a new key and set it")]
    for signed in await _one_signed_under_each_id(settings):
        key_id = trim(signed.key_id)  # the form that index files use
        if key_id not in told:
            return [
                failed(
                    CHECK, f"versions are signed with {key_id}, and config.json does not name that key", TELL
                )
            ]
        if not _is_of(told[key_id], signed):
            wrong = f"the signature of {signed.name} {signed.version} was not made with today's key {key_id}"
            return [failed(CHECK, wrong, KEEP)]
    if own is None:
        return [off(CHECK, "versions are not signed: X07_REGISTRY_PKG_SIGNING_ED25519_SECRET_B64 is not set")]
    does = "verifies; its secret is not in these settings" if signer is None else "signs and verifies"
    return [ok(CHECK, f"{own[0]} {does}; its public key is {b64encode(own[1]).decode()}")]


def _is_of(public_key: bytes, signed: queries.Signed) -> bool:
    return verify(public_key, signed.signature, name=signed.name, version=signed.version, sha256=signed.cksum)


async def _one_signed_under_each_id(settings: Settings) -> list[queries.Signed]:
    database = Database(settings)
    try:
        async with database.transaction() as tx:
            return await queries.one_signed_under_each_id(tx)
    finally:
        await database.close()
