"""Publishes the page of the status, once a minute.

The page tells when it was written, so it is apart from the pages that follow a change: otherwise its time
would tell when a private package changed.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from indexer.fence import Fence
from indexer.pages.page_files import put_all
from indexer.pages.site_html import render_status_html
from indexer.parts import Parts
from indexer.purging.wanted import want_purge
from indexer.queries import pages
from shared.database import require_open
from shared.messages import Change
from shared.page_paths import STATUS_KEY
from shared.pages.site import site_of

STATUS_EVERY: Final = timedelta(minutes=1)


async def publish_status(parts: Parts) -> None:
    """Render the page, unless it is younger than a minute.

    Raises StorageUnavailable, DatabaseUnavailable or DatabaseBehind.
    """
    await parts.high_water.require()
    status, now = await parts.storage.head(STATUS_KEY), datetime.now(UTC)
    if status is not None and now - status.modified_at < STATUS_EVERY:
        return
    site = site_of(parts.settings)
    async with parts.database.transaction("REPEATABLE READ") as tx:
        body = render_status_html(site, await pages.home(tx, site.shows), now)
        keys = await put_all(Fence(parts.storage, partial(require_open, tx)), iter([(STATUS_KEY, body)]))
        await want_purge(tx, parts.settings, keys)
    await parts.notifier.announce(Change(tuple(keys)))
