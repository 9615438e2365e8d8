"""The documentation builds as a site without warnings, with every page in the menu and no downloads."""

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
    """Readers do not find a page without a place: add a line to deploy/docs_navigation.py."""
    assert MORE not in {title for section in navigation(DOCS) for title in section}


def test_every_page_is_built(site: Path) -> None:
    """A broken link fails the build."""
    for page in DOCS.rglob("*.md"):
        assert (site / page.relative_to(DOCS)).with_suffix(".html").is_file(), page


def test_every_variable_has_a_page_made_from_the_settings_class(site: Path) -> None:
    """The page has the default and the refusal of a wrong value; the table links to it."""
    table = (site / "settings.html").read_text()
    for path in variable_pages():
        page = (site / path).with_suffix(".html")
        assert page.is_file(), path
        assert f'href="{page.relative_to(site)}"' in table, path
    page = (site / "variables" / "X07_REGISTRY_STORAGE.html").read_text()
    assert "allowed: fs, filesystem, s3" in page


def test_nothing_is_fetched_to_read_it(site: Path) -> None:
    """Some networks reach no other server."""
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
    """In the repository, the link leads to a file that the site does not have."""
    assert within_the_site(written, DOCS / page, DOCS) == read


def test_the_quickstart_is_the_first_screen_of_the_readme(site: Path) -> None:
    """It follows the home page."""
    assert navigation(DOCS)[1] == {"Quickstart": "quickstart.md"}
    page = (site / "quickstart.html").read_text()
    assert "make run" in page
    assert "x07-package.json" in page
    assert "304 Not Modified" in page
    assert "--8&lt;--" not in page


def test_running_a_registry_begins_with_deployment() -> None:
    """Settings and commands are looked up later."""
    sections = {title: listed for section in navigation(DOCS) for title, listed in section.items()}
    assert sections["Operators"][0] == "deployment.md"


def test_links_have_titles(site: Path) -> None:
    """No link shows the name of a file that the site does not have."""
    shown = re.compile(r"<a [^>]*>(?:<code>)?[\w./-]+\.md(?:</code>)?</a>")
    for page in site.rglob("*.html"):
        assert shown.findall(page.read_text()) == [], page


def test_the_diagram_is_a_picture_that_fits(site: Path) -> None:
    """The theme shrinks pictures to the width of the page; in the repository it is text."""
    assert '<img class="diagram" alt="' in (site / "architecture.html").read_text()
