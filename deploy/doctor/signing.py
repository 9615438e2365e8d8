"""The signing key: it signs and verifies, and stored signatures are of keys that readers are told."""

from __future__ import annotations

from typing import Final

from deploy.doctor import queries
from deploy.doctor.finding import Finding, failed, off, ok
from shared.database import Database
from shared.settings import Settings
from shared.signing import verify
from shared.text import trim

CHECK: Final = "signing key"
MEND: Final = "mend the database first; it says under which keys versions are signed"
TELL: Final = "list its public key in X07_REGISTRY_PKG_SIGNING_EXTRA_PUBLIC_KEYS (ID=BASE64), with a key set"
KEEP: Final = "set the secret that this id had; or give the new one another id, and list the old public key"


async def examine_signing(settings: Settings) -> list[Finding]:
    """One finding."""
    signer = settings.signer()
    told = dict(settings.verifying_keys())
    if signer is not None:
        told[signer.key_id] = signer.public_key
        probe = {"name": "probe", "version": "0.0.0", "sha256": "0" * 64}
        if not verify(signer.public_key, signer.sign(**probe), **probe):
            return [failed(CHECK, "what it signs does not verify", "make a new key and set it")]
    for signed in await _one_signed_under_each_id(settings):
        key_id = trim(signed.key_id)  # as index files name it
        if key_id not in told:
            return [
                failed(CHECK, f"versions are signed with {key_id}, and readers are not told that key", TELL)
            ]
        if not _is_of(told[key_id], signed):
            wrong = f"the signature of {signed.name} {signed.version} is not of the key that is now {key_id}"
            return [failed(CHECK, wrong, KEEP)]
    if signer is None:
        return [off(CHECK, "versions are not signed: X07_REGISTRY_PKG_SIGNING_ED25519_SECRET_B64 is not set")]
    return [ok(CHECK, f"{signer.key_id} signs and verifies")]


def _is_of(public_key: bytes, signed: queries.Signed) -> bool:
    return verify(public_key, signed.signature, name=signed.name, version=signed.version, sha256=signed.cksum)


async def _one_signed_under_each_id(settings: Settings) -> list[queries.Signed]:
    database = Database(settings)
    try:
        async with database.transaction() as tx:
            return await queries.one_signed_under_each_id(tx)
    finally:
        await database.close()
