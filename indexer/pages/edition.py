"""The edition of the pages: the templates, and the settings that every page shows.

When it changes, all pages are rendered again, although no row has changed.
"""

from __future__ import annotations

import hashlib

from indexer.parts import Parts
from indexer.queries import pages
from shared.pages.rendering import templates_digest
from shared.pages.site import Site, site_of

# To be raised when pages change although no template does.
FORMAT = 1


def edition_of(site: Site) -> str:
    """The edition of the pages of a site."""
    return hashlib.sha256(f"{FORMAT} {templates_digest()} {site}".encode()).hexdigest()


async def begin_edition(parts: Parts) -> None:
    """Have the pages rendered that are of another edition, or that were left out while pages were off.

    A worker does so once, when it starts, so that two releases do not take turns while one is rolled out.
    """
    await pages.begin_edition(parts.database, edition_of(site_of(parts.settings)))
