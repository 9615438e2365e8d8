"""What every page tells of its registry: its addresses, and the paths of its pages and assets."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from shared.page_paths import files_path, list_path, package_path, version_path, versions_feed_path
from shared.pages.assets import API_SCRIPT, API_STYLESHEET, ICON, SCRIPT, STYLESHEET, asset_path
from shared.private_names import is_private
from shared.settings import Settings


@dataclass(frozen=True, slots=True)
class Site:
    """The registry of the pages. address: its URL, without a slash at the end. root: the path of that URL.

    web: the URL of the web UI where people sign in. is_private: reads need a token.
    private_names: patterns of packages that have no pages (shared/private_names.py). has_log: there is a
    transparency log.
    """

    address: str
    root: str
    web: str
    is_private: bool
    private_names: tuple[str, ...] = ()
    has_log: bool = False

    @property
    def host(self) -> str:
        """The name of the registry for people: its host, and its port if it has one."""
        return urlsplit(self.address).netloc

    @property
    def sparse_index(self) -> str:
        """The URL of the index, as the toolchain takes it."""
        return f"sparse+{self.address}/index/"

    @property
    def stylesheet(self) -> str:
        """The path of the stylesheet."""
        return self.root + asset_path(STYLESHEET)

    @property
    def script(self) -> str:
        """The path of the script."""
        return self.root + asset_path(SCRIPT)

    @property
    def api_stylesheet(self) -> str:
        """The path of the stylesheet of the API page."""
        return self.root + asset_path(API_STYLESHEET)

    @property
    def api_script(self) -> str:
        """The path of the script of the API page."""
        return self.root + asset_path(API_SCRIPT)

    @property
    def icon(self) -> str:
        """The path of the icon."""
        return self.root + asset_path(ICON)

    def shows(self, name: str) -> bool:
        """True if a package has pages: everybody who may read pages may read all of them."""
        return not is_private(name, self.private_names)

    def package(self, name: str) -> str:
        """The path of the page of a package."""
        return self.root + package_path(name)

    def version(self, name: str, version: str) -> str:
        """The path of the page of a version."""
        return self.root + version_path(name, version)

    def files(self, name: str, version: str) -> str:
        """The path of the page of the files of a version."""
        return self.root + files_path(name, version)

    def versions_feed(self, name: str) -> str:
        """The path of the feed of a package's versions."""
        return self.root + versions_feed_path(name)

    def list(self, number: int | None = None) -> str:
        """The path of a page of the list of packages, counted from 1; None for the newest packages."""
        return self.root + list_path(number)


def site_of(settings: Settings) -> Site:
    """The registry that the settings describe."""
    return Site(
        address=settings.public_base,
        root=urlsplit(settings.public_base).path.rstrip("/"),
        web=settings.web_base,
        is_private=settings.reads_need_token,
        private_names=tuple(sorted(settings.private_namespaces)),
        has_log=settings.log_key() is not None,
    )
