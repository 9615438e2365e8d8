"""The site's navigation, a hook of mkdocs: who reads a page decides where it stands.

A page that is written before its line here stands under "More"; a line without a page is left out.
"""

from __future__ import annotations

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
    ),
    "Mirror keepers": ("mirror.md",),
    "Contributors": ("architecture.md", "contributing.md", "changelog.md"),
}


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
