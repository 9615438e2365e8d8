"""The paths of the HTML pages, feeds and their assets, and the keys of the files below `pages/`.

A file has the key of its path, and a path without an extension is a folder with an `index.html`, so that any
web server can serve the files. No path begins as a route of the API or a path of the index does.
"""

from __future__ import annotations

import re
from typing import Final

PAGES_PREFIX: Final = "pages/"
HOME_KEY: Final = "pages/index.html"
STATUS_KEY: Final = "pages/status/index.html"
API_KEY: Final = "pages/docs/api/index.html"
HELP_KEY: Final = "pages/help/index.html"
ASSETS: Final = "/assets/"
NEW_FEED: Final = "/feeds/new.atom"
ADVISORIES_FEED: Final = "/feeds/advisories.atom"
FIXED_FILES: Final = ("/robots.txt", "/favicon.ico", "/sitemap.xml", NEW_FEED, ADVISORIES_FEED)
FIXED_PAGES: Final = ("/help", "/status", "/docs/api")
LIST_PATH: Final = "/packages/"
STARTS: Final = tuple(path.encode() for path in (LIST_PATH, ASSETS, *FIXED_FILES, *FIXED_PAGES))
"""The beginnings of all paths but that of the home page."""

_VERSION: Final = r"[0-9]+\.[0-9]+\.[0-9]+[0-9A-Za-z.+-]*"
_PATH: Final = re.compile(
    rf"/packages/(?:~[1-9][0-9]{{0,8}})?|/packages/[a-z0-9_-]+(?:/{_VERSION}(?:/files)?)?"
    r"|(?P<file>/packages/(?:[a-z0-9_-]+/versions\.atom|~[1-9][0-9]{0,8}/sitemap\.xml)"
    r"|/assets/[a-z0-9-]+(?:\.[a-z0-9-]+)+)"
)


def page_key(path: str) -> str | None:
    """The key of the file at a path, which is percent-decoded; None if no page has this path."""
    if path == "/":
        return HOME_KEY
    if path in FIXED_FILES:
        return f"pages{path}"
    match = _PATH.fullmatch(path)
    if match is None:
        return f"pages{path}/index.html" if path in FIXED_PAGES else None
    return f"pages{path}" if match["file"] else f"pages{path.rstrip('/')}/index.html"


def page_path(key: str) -> str:
    """The path of the file with this key: the inverse of page_key."""
    path = key.removeprefix("pages").removesuffix("/index.html")
    return LIST_PATH if path == "/packages" else path or "/"


def list_path(number: int | None) -> str:
    """The path of a page of the list of packages, counted from 1; None for the newest packages.

    No package is called `~2`.
    """
    return LIST_PATH if number is None else f"{LIST_PATH}~{number}"


def list_key(number: int | None) -> str:
    """The key of a page of the list of packages."""
    return f"pages{list_path(number).rstrip('/')}/index.html"


def sitemap_path(number: int) -> str:
    """The path of the sitemap of the packages on one page of the list."""
    return f"{list_path(number)}/sitemap.xml"


def package_path(name: str) -> str:
    """The path of the page of a package."""
    return f"{LIST_PATH}{name}"


def version_path(name: str, version: str) -> str:
    """The path of the page of a version."""
    return f"{LIST_PATH}{name}/{version}"


def files_path(name: str, version: str) -> str:
    """The path of the page of the files of a version."""
    return f"{version_path(name, version)}/files"


def versions_feed_path(name: str) -> str:
    """The path of the feed of a package's versions."""
    return f"{LIST_PATH}{name}/versions.atom"


def page_pattern(key: str) -> str:
    """The name of a page's route in metrics, one of a fixed set."""
    match key.split("/"):
        case ["pages", "packages", "index.html"]:
            return LIST_PATH
        case ["pages", "packages", name, "index.html"]:
            return LIST_PATH if name.startswith("~") else "/packages/{name}"
        case ["pages", "packages", _, "versions.atom"]:
            return "/packages/{name}/versions.atom"
        case ["pages", "packages", _, "sitemap.xml"]:
            return "/sitemap.xml"
        case ["pages", "packages", _, _, "index.html"]:
            return "/packages/{name}/{version}"
        case ["pages", "packages", _, _, "files", "index.html"]:
            return "/packages/{name}/{version}/files"
        case ["pages", "assets", _]:
            return "/assets/{file}"
        case _:
            return page_path(key)
