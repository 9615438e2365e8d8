"""Renders the templates of the pages: HTML with every text escaped."""

from __future__ import annotations

import hashlib
from datetime import datetime
from importlib import resources
from typing import Any, Final
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from shared.pages.assets import ASSET_BODIES
from shared.pages.site import Site
from shared.text import honest
from shared.timestamps import render_timestamp

FOLDER: Final = "templates"
PACKAGE: Final = "shared.pages"


def web_address(text: str | None) -> str | None:
    """The text if it is the URL of a web page; None for any other, such as `javascript:…`."""
    try:
        parts = urlsplit(text or "")
    except ValueError:
        return None
    return text if parts.scheme in ("http", "https") and parts.netloc else None


def _day(moment: datetime) -> str:
    """The day of a moment, in UTC."""
    return render_timestamp(moment)[:10]


def _minute(moment: datetime) -> str:
    """A moment for people, in UTC."""
    return f"{render_timestamp(moment)[:16].replace('T', ' ')} UTC"


def _shown(value: object) -> object:
    """A value as a page shows it: no character that misleads. HTML that was made already stays as it is."""
    return honest(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def size_text(size_bytes: int) -> str:
    """A number of bytes for people, in decimal units (IEC 80000-13)."""
    if size_bytes < 1000:
        return f"{size_bytes} byte{'' if size_bytes == 1 else 's'}"
    return f"{size_bytes / 1000:,.1f} KB" if size_bytes < 1_000_000 else f"{size_bytes / 1_000_000:,.1f} MB"


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(PACKAGE, FOLDER),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {"day": _day, "minute": _minute, "moment": render_timestamp, "size": size_text}
    return environment


_ENVIRONMENT: Final = _environment()


def render_page(template: str, site: Site, **values: Any) -> bytes:
    """The bytes of a page, from a template in templates/."""
    return _ENVIRONMENT.get_template(template).render(site=site, **values).encode()


def template_digest(template: str) -> str:
    """The SHA-256 of one template, in hex digits."""
    source = (resources.files(PACKAGE) / FOLDER / template).read_bytes()
    return hashlib.sha256(source).hexdigest()


def templates_digest() -> str:
    """The SHA-256 of all templates and assets. Pages change with them, also where no row has changed."""
    digest = hashlib.sha256()
    folder = resources.files(PACKAGE) / FOLDER
    for source in sorted(folder.iterdir(), key=lambda each: each.name):
        digest.update(source.read_bytes())
    for body in ASSET_BODIES.values():
        digest.update(body)
    return digest.hexdigest()
