"""A hook of mkdocs: the site's navigation, and links that suit a site.

A link that shows the name of a file in the repository shows that page's title in the site. Links to files of
the repository that are not in the site become plain text.

Pages are grouped by their readers. A page without an entry here is listed under "More"; an entry without a
page is left out.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

MORE: Final = "More"
QUICKSTART: Final = "quickstart.md"
SECTIONS: Final = {
    "Publishers": ("auth.md", "publishing.md", "packing.md", "webhooks.md", "api.md", "errors.md", "lint.md"),
    "Operators": (
        "deployment.md",
        "pages.md",
        "private.md",
        "settings.md",
        "commands.md",
        "observability.md",
        "runbook.md",
        "security.md",
        "reliability.md",
        "backup.md",
        "log.md",
        "upgrades.md",
        "adoption.md",
        "scaling.md",
        "edge.md",
        "benchmarks.md",
        "benchmarks-reads.md",
    ),
    "Mirror keepers": ("mirror.md",),
    "Contributors": ("architecture.md", "contract.md", "contributing.md", "changelog.md"),
}

# Files of the repository whose text is a page of the site.
INCLUDED: Final = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
_TITLE: Final = re.compile(r"^# (.+)$", re.MULTILINE)
_NAMED_BY_FILE: Final = re.compile(r"\[`?[\w./-]+\.md`?\]\(((?!\w+:)[^)#\s]+\.md)(#[^)]*)?\)")
_LINK: Final = re.compile(r"\[([^\]]+)\]\((\.\./[^)#\s]+)(?:#[^)]*)?\)")


def navigation(docs: Path) -> list[dict[str, Any]]:
    """The navigation: home, quickstart, pages by audience, decisions, then pages without an entry."""
    pages = {page.relative_to(docs).as_posix() for page in docs.rglob("*.md")}
    decisions = sorted(page for page in pages if page.startswith("decisions/"))
    sections: dict[str, list[Any]] = {
        title: [page for page in listed if page in pages] for title, listed in SECTIONS.items()
    }
    placed = {page for listed in SECTIONS.values() for page in listed} | {*decisions, "index.md", QUICKSTART}
    sections["Contributors"].append({"Decisions": decisions})
    if pages - placed:
        sections[MORE] = sorted(pages - placed)
    first: list[dict[str, Any]] = [{"Home": "index.md"}, {"Quickstart": QUICKSTART}]
    return [*first, *({title: listed} for title, listed in sections.items())]


def on_config(config: Any) -> Any:
    """mkdocs calls this before it reads the pages."""
    config["nav"] = navigation(Path(config["docs_dir"]))
    return config


def within_the_site(markdown: str, page: Path, docs: Path) -> str:
    """The page's text. Links out of docs/ point to the page that includes the file, or become plain text."""

    def led(link: re.Match[str]) -> str:
        text, target = link[1], (page.parent / link[2]).resolve()
        if target.is_relative_to(docs):
            return link[0]
        included = INCLUDED.get(target.name)
        if included is None or target.parent != docs.parent:
            return text
        return f"[{text}]({'../' * len(page.relative_to(docs).parent.parts)}{included})"

    return _LINK.sub(led, markdown)


def titled(markdown: str, page: Path, docs: Path) -> str:
    """The page's text, in which a link to another page shows its title instead of its file's name."""

    def named(link: re.Match[str]) -> str:
        target = (page.parent / link[1]).resolve()
        if not target.is_file() or not target.is_relative_to(docs):
            return link[0]
        return f"[{title_of(target, docs)}]({link[1]}{link[2] or ''})"

    return _NAMED_BY_FILE.sub(named, markdown)


def title_of(page: Path, docs: Path) -> str:
    """The first heading of a page, or of the file that it includes."""
    included = {place: name for name, place in INCLUDED.items()}.get(page.relative_to(docs).as_posix())
    found = _TITLE.search((page if included is None else docs.parent / included).read_text())
    return page.stem if found is None else found[1]


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """mkdocs calls this for each page."""
    docs = Path(config["docs_dir"]).resolve()
    path = docs / page.file.src_uri
    return titled(within_the_site(markdown, path, docs), path, docs)
