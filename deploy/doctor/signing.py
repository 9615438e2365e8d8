"""The signing key: it signs and verifies, and every stored signature has a key that readers are told."""

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


async def examine_signing(settings: Settings) -> list[Finding]:
    """One finding."""
    signer = settings.signer()
    told = {key_id for key_id, _ in settings.verifying_keys()}
    if signer is not None:
        told.add(signer.key_id)
        probe = {"name": "probe", "version": "0.0.0", "sha256": "0" * 64}
        if not verify(signer.public_key, signer.sign(**probe), **probe):
            return [failed(CHECK, "what it signs does not verify", "make a new key and set it")]
    untold = sorted(await _used_keys(settings) - told)
    if untold:
        wrong = f"versions are signed with {', '.join(untold)}, and readers are not told that key"
        mend = "list its public key in X07_REGISTRY_PKG_SIGNING_EXTRA_PUBLIC_KEYS (ID=BASE64), with a key set"
        return [failed(CHECK, wrong, mend)]
    if signer is None:
        return [off(CHECK, "versions are not signed: X07_REGISTRY_PKG_SIGNING_ED25519_SECRET_B64 is not set")]
    return [ok(CHECK, f"{signer.key_id} signs and verifies")]


async def _used_keys(settings: Settings) -> set[str]:
    """Ids of the keys under which versions are signed, as index files name them."""
    database = Database(settings)
    try:
        async with database.transaction() as tx:
            return {trim(key_id) for key_id in await queries.signing_keys(tx)}
    finally:
        await database.close()
