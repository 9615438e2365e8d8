"""Tables in docs/ that are made from the code: `make docs-tables` writes them, a test compares."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click
from prometheus_client.metrics import MetricWrapperBase
from pydantic import BaseModel
from pydantic_settings import BaseSettings

import api.read.metrics
import api.write.metrics
import indexer.metrics
import shared.metrics
import shared.pool_metrics
from deploy.cli import app as cli
from deploy.docs_variables import default_of
from shared import credential_errors, errors, publish_errors, sign_in_errors, webhook_errors
from shared.settings import Settings
from shared.variables import variables_of

DOCS = Path(__file__).parent.parent / "docs"
ERROR_MODULES = (errors, credential_errors, publish_errors, sign_in_errors, webhook_errors)
METRIC_MODULES = (
    ("all", shared.metrics),
    ("write, worker", shared.pool_metrics),
    ("read", api.read.metrics),
    ("write", api.write.metrics),
    ("worker", indexer.metrics),
)
BEGIN, END = "<!-- made by `make docs-tables` -->", "<!-- end -->"


def settings_tables() -> str:
    """A section for each group of settings, with one row per variable."""
    groups = reversed([base for base in Settings.__bases__ if base is not BaseSettings])
    return "\n\n".join(_settings_section(group) for group in groups)


def _settings_section(group: type[BaseModel]) -> str:
    rows = [
        f"## {str(group.__doc__).rstrip('.')}",
        "",
        "| variable | default | meaning |",
        "| --- | --- | --- |",
    ]
    for name, field in group.model_fields.items():
        variables = ", else ".join(f"`{variable}`" for variable in variables_of(name, field))
        rows.append(f"| {variables} | {default_of(field)} | {field.description} |")
    return "\n".join(rows)


def errors_table() -> str:
    """One row per code, sorted by status and code."""
    rows = ["| status | code | meaning |", "| --- | --- | --- |"]
    codes = {(error.status, error.code): error for error in sorted(all_errors(), key=_depth, reverse=True)}
    for (status, code), error in sorted(codes.items()):
        summary = (error.__doc__ or "").strip().splitlines()[0]
        rows.append(f"| {status} | `{code}` | {summary} |")
    return "\n".join(rows)


def commands_reference() -> str:
    """The help of every command, with a section for each."""
    root = cli.command_line()
    sections = [f"### {path}\n\n```\n{text}\n```" for path, text in _help_of(root, "x07-registry", None)]
    return "\n\n".join(sections)


def _help_of(command: click.Command, name: str, parent: click.Context | None) -> Iterator[tuple[str, str]]:
    """Path and help of a command and of its subcommands, for a terminal of 100 columns."""
    context = click.Context(command, info_name=name, parent=parent, terminal_width=100, max_content_width=100)
    yield f"`{context.command_path}`", command.get_help(context)
    for child, subcommand in getattr(command, "commands", {}).items():
        yield from _help_of(subcommand, child, context)


def metrics_table() -> str:
    """One row for each of our metrics, by role."""
    rows = ["| metric | labels | role | meaning |", "| --- | --- | --- | --- |"]
    for role, module in METRIC_MODULES:
        for metric in vars(module).values():
            if isinstance(metric, MetricWrapperBase) and not metric._labelvalues:
                rows.append(_metric_row(role, metric))
    return "\n".join(rows)


def _metric_row(role: str, metric: MetricWrapperBase) -> str:
    """Uses private parts of prometheus_client for name, labels and help. The name omits the type's suffix."""
    suffix = {"counter": "_total", "info": "_info"}.get(metric._type, "")
    labels = ", ".join(f"`{label}`" for label in metric._labelnames)
    return f"| `{metric._name}{suffix}` ({metric._type}) | {labels} | {role} | {metric._documentation} |"


TABLES = {
    "settings.md": settings_tables,
    "errors.md": errors_table,
    "observability.md": metrics_table,
    "commands.md": commands_reference,
}


def with_table(page: str, table: str) -> str:
    """The page with the table between its marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"


def all_errors() -> set[type[errors.RegistryError]]:
    """All error classes except the base class, which is never an answer."""
    classes = {cls for module in ERROR_MODULES for cls in vars(module).values() if isinstance(cls, type)}
    return {cls for cls in classes if issubclass(cls, errors.RegistryError)} - {errors.RegistryError}


def _depth(error: type[errors.RegistryError]) -> int:
    return len(error.__mro__)


def stale_pages() -> list[str]:
    """The pages in docs/ whose table differs from the code's."""
    return [
        name
        for name, table in TABLES.items()
        if (page := (DOCS / name).read_text()) != with_table(page, table())
    ]


def main() -> None:
    """Write every table. With --check, write nothing and fail if a table is out of date."""
    if sys.argv[1:] == ["--check"]:
        stale = stale_pages()
        sys.exit(f"stale, run `make docs-tables`: {', '.join(stale)}" if stale else 0)
    for name, table in TABLES.items():
        page = DOCS / name
        page.write_text(with_table(page.read_text(), table()))
        sys.stdout.write(f"docs/{name}\n")


if __name__ == "__main__":
    main()
