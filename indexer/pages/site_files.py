"""The files of the site that depend on no package: the assets, the icon, robots.txt, help and the API."""

from __future__ import annotations

from functools import cache

from indexer.fence import Rendered
from indexer.pages.api_html import render_api_html
from indexer.pages.api_viewer import viewer_files
from indexer.pages.page_files import page_file
from indexer.pages.site_html import render_help_html
from shared.http.openapi import openapi_document
from shared.page_paths import API_KEY, HELP_KEY
from shared.pages.assets import ASSET_BODIES, ICON, asset_path
from shared.pages.site import Site


@cache
def site_files(site: Site) -> tuple[Rendered, ...]:
    """The files. Rendered once, because they change only with the program and its settings."""
    files = {
        **{f"pages{asset_path(name)}": body for name, body in ASSET_BODIES.items()},
        **{f"pages{path}": body for path, body in viewer_files().items()},
        "pages/favicon.ico": ASSET_BODIES[ICON],
        "pages/robots.txt": robots_text(site).encode(),
        HELP_KEY: render_help_html(site),
        API_KEY: render_api_html(site, openapi_document(site.root)[0]),
    }
    return tuple(page_file(key, body) for key, body in files.items())


def robots_text(site: Site) -> str:
    """The rules for crawlers (RFC 9309): pages are for everybody, archives and the API are not for them."""
    if site.is_private:
        return "User-agent: *\nDisallow: /\n"
    kept_out = ("/v1/", "/index/", "/log/", "/dl/", "/search")
    rules = "".join(f"Disallow: {site.root}{path}\n" for path in kept_out)
    return f"User-agent: *\n{rules}Sitemap: {site.address}/sitemap.xml\n"
