"""Renders the home page. Pure: counts and listings to bytes."""

from __future__ import annotations

from typing import Final

from indexer.home import Home
from shared.pages.rendering import render_page
from shared.pages.site import Site

SHOWN: Final = 10
# As in the README, which a test publishes.
FIRST_PACKAGE: Final = """\
mkdir -p hello/modules
cat > hello/x07-package.json <<'JSON'
{"schema_version":"x07.package@0.1.0","name":"hello","version":"0.1.0","description":"Says hello.",
 "docs":"Call hello.main.","license":"MIT","module_root":"modules","modules":["hello"],
 "meta":{"x07c_compat":">=0.1.111 <0.3.0"}}
JSON
cat > hello/modules/hello.x07.json <<'JSON'
{"schema_version":"x07.x07ast@0.3.0","kind":"module","module_id":"hello","imports":[],"decls":[]}
JSON
tar --format=gnu --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=0644 \\
    -C hello -cf hello.tar x07-package.json modules/hello.x07.json"""


def render_home_html(site: Site, home: Home) -> bytes:
    """The home page. Without a package it tells how to publish the first one."""
    return render_page(
        "home.html",
        site,
        packages=home.packages,
        versions=home.versions,
        newest=home.newest[:SHOWN],
        required=home.required[:SHOWN],
        first_package=FIRST_PACKAGE,
    )
