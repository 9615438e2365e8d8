"""The documentation builds as a site: no warning, every page placed, nothing fetched."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.docs_navigation import MORE, navigation, within_the_site
from deploy.docs_variables import variable_pages

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
FETCHED = re.compile(
    r"<(?:script|link|img|iframe)[^>]+(?:src|href)=\"?(https?:)?//(?!#)[^\">]+", re.IGNORECASE
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    directory = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(directory)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    assert built.returncode == 0, built.stderr
    assert "WARNING" not in built.stderr
    return directory


def test_every_page_has_its_place() -> None:
    """A page that nobody placed is not found by its readers: give it a line in deploy/docs_navigation.py."""
    assert MORE not in {title for section in navigation(DOCS) for title in section}


def test_every_page_is_built(site: Path) -> None:
    """Strictly: a link that leads nowhere fails the build."""
    for page in DOCS.rglob("*.md"):
        assert (site / page.relative_to(DOCS)).with_suffix(".html").is_file(), page


def test_every_variable_has_a_page_made_from_the_settings_class(site: Path) -> None:
    """With its default and with what it says to a wrong value; the table leads to it."""
    table = (site / "settings.html").read_text()
    for path in variable_pages():
        page = (site / path).with_suffix(".html")
        assert page.is_file(), path
        assert f'href="{page.relative_to(site)}"' in table, path
    page = (site / "variables" / "X07_REGISTRY_STORAGE.html").read_text()
    assert "allowed: fs, filesystem, s3" in page


def test_nothing_is_fetched_to_read_it(site: Path) -> None:
    """It is read on networks that reach nothing else."""
    for page in site.rglob("*.html"):
        fetched = [found for found in FETCHED.finditer(page.read_text()) if 'rel="canonical"' not in found[0]]
        assert fetched == [], page


@pytest.mark.parametrize(
    ("page", "written", "read"),
    [
        ("a.md", "[x](b.md) [y](https://x07.io)", "[x](b.md) [y](https://x07.io)"),
        ("a.md", "see [x](../CHANGELOG.md#unreleased).", "see [x](changelog.md)."),
        (
            "decisions/1.md",
            "[x](../../CONTRIBUTING.md) [y](../b.md#c)",
            "[x](../contributing.md) [y](../b.md#c)",
        ),
        ("a.md", "[`alerts.yaml`](../deploy/alerts.yaml)", "`alerts.yaml`"),
        ("a.md", "[x](../deploy/CHANGELOG.md)", "x"),
    ],
)
def test_a_link_out_of_the_docs_stays_within_the_site(page: str, written: str, read: str) -> None:
    """In the repository it leads to a file that the site does not have."""
    assert within_the_site(written, DOCS / page, DOCS) == read
