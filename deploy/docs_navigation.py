"""A hook of mkdocs: the site's navigation, and links to what is in the repository but not in the site.

Who reads a page decides where it stands. A page that is written before its line here stands under "More";
a line without a page is left out.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

MORE: Final = "More"
SECTIONS: Final = {
    "Publishers": ("auth.md", "api.md", "errors.md", "lint.md"),
    "Operators": (
        "commands.md",
        "settings.md",
        "deployment.md",
        "observability.md",
        "runbook.md",
        "security.md",
        "reliability.md",
        "backup.md",
        "upgrades.md",
        "adoption.md",
        "benchmarks.md",
        "benchmarks-reads.md",
    ),
    "Mirror keepers": ("mirror.md",),
    "Contributors": ("architecture.md", "contributing.md", "changelog.md"),
}

# Files of the repository that a page of the site includes whole.
INCLUDED: Final = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
_LINK: Final = re.compile(r"\[([^\]]+)\]\((\.\./[^)#\s]+)(?:#[^)]*)?\)")


def navigation(docs: Path) -> list[dict[str, Any]]:
    """Home, each audience with the pages that are there, decisions last, then what nobody placed."""
    pages = {page.relative_to(docs).as_posix() for page in docs.rglob("*.md")}
    decisions = sorted(page for page in pages if page.startswith("decisions/"))
    sections: dict[str, list[Any]] = {
        title: [page for page in listed if page in pages] for title, listed in SECTIONS.items()
    }
    placed = {page for listed in SECTIONS.values() for page in listed} | {*decisions, "index.md"}
    sections["Contributors"].append({"Decisions": decisions})
    if pages - placed:
        sections[MORE] = sorted(pages - placed)
    return [{"Home": "index.md"}, *({title: listed} for title, listed in sections.items())]


def on_config(config: Any) -> Any:
    """mkdocs asks for it before it reads the pages."""
    config["nav"] = navigation(Path(config["docs_dir"]))
    return config


def within_the_site(markdown: str, page: Path, docs: Path) -> str:
    """The page's text with links out of docs/ led to the page that has the file, or left as mere text."""

    def led(link: re.Match[str]) -> str:
        text, target = link[1], (page.parent / link[2]).resolve()
        if target.is_relative_to(docs):
            return link[0]
        included = INCLUDED.get(target.name)
        if included is None or target.parent != docs.parent:
            return text
        return f"[{text}]({'../' * len(page.relative_to(docs).parent.parts)}{included})"

    return _LINK.sub(led, markdown)


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """mkdocs asks for it with each page."""
    docs = Path(config["docs_dir"]).resolve()
    return within_the_site(markdown, docs / page.file.src_uri, docs)
