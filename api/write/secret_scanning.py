"""Reports of tokens that GitHub's secret scanning found, in the format of its partner program.

A valid reported token is revoked at once, because everybody who can read the place of the leak has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from api.write.credentials import secret_hash
from api.write.queries import audit, tokens
from api.write.services import Services
from shared.credential_errors import SignatureInvalid
from shared.errors import NotFound

MAX_REPORTED: Final = 1000

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Report:
    """A text that looks like a token. kind: GitHub's name of its form. url: where it was found."""

    token: str = field(repr=False)
    kind: str
    url: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """A report, and whether the text was one of our tokens."""

    report: Report
    is_token: bool


async def verify_report(services: Services, key_id: str | None, signature: str | None, body: bytes) -> None:
    """Raise NotFound where reports are not taken, SignatureInvalid for a body that GitHub did not sign."""
    if services.scanner_keys is None:
        raise NotFound("reports of leaked tokens are not taken here")
    if key_id is None or signature is None:
        raise SignatureInvalid("missing Github-Public-Key-Identifier or Github-Public-Key-Signature header")
    await services.scanner_keys.verify(key_id, signature, body)


async def take_reports(services: Services, reports: Sequence[Report]) -> list[Verdict]:
    """Revoke each reported token that is valid, and say which ones are ours, in order.

    A token that is revoked or expired already is ours too.
    """
    hashes = [secret_hash(report.token) for report in reports]
    async with services.database.transaction() as tx:
        known = await tokens.by_hashes(tx, hashes)
        for token_hash, report in dict(zip(hashes, reports, strict=True)).items():
            row = known.get(token_hash)
            if row is None or row.revoked_at is not None:
                continue
            await tokens.revoke(tx, row.token_id)
            details = {"token_id": str(row.token_id), "reported_by": "github", "url": report.url}
            await audit.record(tx, "token_revoked", user_id=row.user_id, token_id=None, details=details)
            log.warning("leaked_token_revoked", token_id=str(row.token_id), user_id=str(row.user_id))
    await services.notifier.queue_access()
    return [Verdict(*pair) for pair in zip(reports, [each in known for each in hashes], strict=True)]
