"""Looks up bearer tokens; concurrent lookups share a statement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from api.write.queries import tokens
from api.write.queries.tokens import TokenRow
from shared.batching import COMPANY_WAIT_S, Batcher
from shared.database import Database

A_BATCH: Final = 100


class KnownTokens:
    """Looks tokens up in the database every time, so that a revoked token is refused at once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._asked: Batcher[str, TokenRow | None] = Batcher(
            self._ask, largest=A_BATCH, linger_s=COMPANY_WAIT_S
        )

    async def by_hash(self, token_hash: str) -> TokenRow | None:
        """The token with this SHA-256 hex, revoked or not."""
        return await self._asked.submit(token_hash)

    async def close(self) -> None:
        """Wait for lookups that are in progress."""
        await self._asked.close()

    async def _ask(self, hashes: Sequence[str]) -> Sequence[TokenRow | None]:
        async with self._database.driver() as tx:
            rows = await tokens.by_hashes(tx, hashes)
        return [rows.get(token_hash) for token_hash in hashes]
