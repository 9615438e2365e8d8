"""Renders the pages that are about the registry itself: help and status. Pure."""

from __future__ import annotations

from datetime import datetime

from indexer.home import Home
from shared.pages.rendering import render_page
from shared.pages.site import Site
from shared.version import VERSION


def render_help_html(site: Site) -> bytes:
    """How to use the registry."""
    return render_page("help.html", site)


def render_status_html(site: Site, home: Home, written_at: datetime) -> bytes:
    """What the registry held at a moment. Its age tells whether workers run."""
    return render_page("status.html", site, home=home, written_at=written_at, release=VERSION)
