"""Publishes config.json, which depends on the settings alone."""

from __future__ import annotations

import hashlib

from indexer.config import render_config
from indexer.parts import Parts
from indexer.purging.wanted import want_purge_of
from shared.blobs import CONFIG_KEY, JSON_TYPE
from shared.messages import Change
from shared.storage.replacing import replace_blob


async def publish_config(parts: Parts, *, anew: bool = False) -> None:
    """Write config.json unless storage has these bytes already. anew: write it in any case."""
    body = render_config(parts.settings)
    digest = hashlib.sha256(body).hexdigest()
    stored = await parts.storage.head(CONFIG_KEY)
    if not anew and stored is not None and stored.digest == digest:
        return
    await want_purge_of(parts.database, parts.settings, CONFIG_KEY)
    await replace_blob(parts.storage, CONFIG_KEY, body, seen=stored, content_type=JSON_TYPE, digest=digest)
    await parts.notifier.announce(Change((CONFIG_KEY,)))
