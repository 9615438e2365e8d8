"""Tables in docs/ that are made from the code: `make docs-tables` writes them, a test compares."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click
from prometheus_client.metrics import MetricWrapperBase
from typer.main import get_command

import api.read.metrics
import api.write.metrics
import indexer.metrics
import shared.metrics
import shared.pool_metrics
from deploy.cli import app as cli
from deploy.docs_variables import default_of, variables_of
from shared import errors
from shared.settings import Settings

DOCS = Path(__file__).parent.parent / "docs"
METRIC_MODULES = (
    ("all", shared.metrics),
    ("write, worker", shared.pool_metrics),
    ("read", api.read.metrics),
    ("write", api.write.metrics),
    ("worker", indexer.metrics),
)
BEGIN, END = "<!-- made by `make docs-tables` -->", "<!-- end -->"


def settings_table() -> str:
    """One row for each variable."""
    rows = ["| variable | default | meaning |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        variables = ", else ".join(f"`{variable}`" for variable in variables_of(name, field))
        rows.append(f"| {variables} | {default_of(field)} | {field.description} |")
    return "\n".join(rows)


def errors_table() -> str:
    """One row for each code, sorted by status and code."""
    rows = ["| status | code | meaning |", "| --- | --- | --- |"]
    codes = {(error.status, error.code): error for error in sorted(_all_errors(), key=_depth, reverse=True)}
    for (status, code), error in sorted(codes.items()):
        summary = (error.__doc__ or "").strip().splitlines()[0]
        rows.append(f"| {status} | `{code}` | {summary} |")
    return "\n".join(rows)


def commands_reference() -> str:
    """The help of every command, one section each."""
    root = get_command(cli.app)
    sections = [f"### {path}\n\n```\n{text}\n```" for path, text in _help_of(root, "x07-registry", None)]
    return "\n\n".join(sections)


def _help_of(command: click.Command, name: str, parent: click.Context | None) -> Iterator[tuple[str, str]]:
    """Path and help of a command and of each below it, as a terminal of 100 columns shows them."""
    context = click.Context(command, info_name=name, parent=parent, terminal_width=100, max_content_width=100)
    yield f"`{context.command_path}`", command.get_help(context)
    for child, subcommand in getattr(command, "commands", {}).items():
        yield from _help_of(subcommand, child, context)


def metrics_table() -> str:
    """One row for each metric of ours, by the role that has it."""
    rows = ["| metric | labels | role | meaning |", "| --- | --- | --- | --- |"]
    for role, module in METRIC_MODULES:
        for metric in vars(module).values():
            if isinstance(metric, MetricWrapperBase) and not metric._labelvalues:
                rows.append(_metric_row(role, metric))
    return "\n".join(rows)


def _metric_row(role: str, metric: MetricWrapperBase) -> str:
    """prometheus_client keeps name, labels and help to itself; a type's suffix is not in the name."""
    suffix = {"counter": "_total", "info": "_info"}.get(metric._type, "")
    labels = ", ".join(f"`{label}`" for label in metric._labelnames)
    return f"| `{metric._name}{suffix}` ({metric._type}) | {labels} | {role} | {metric._documentation} |"


TABLES = {
    "settings.md": settings_table,
    "errors.md": errors_table,
    "observability.md": metrics_table,
    "commands.md": commands_reference,
}


def with_table(page: str, table: str) -> str:
    """The page with the table between its marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"


def _all_errors(
    base: type[errors.RegistryError] = errors.RegistryError,
) -> Iterator[type[errors.RegistryError]]:
    yield base
    for subclass in base.__subclasses__():
        yield from _all_errors(subclass)


def _depth(error: type[errors.RegistryError]) -> int:
    return len(error.__mro__)


def main() -> None:
    """Write every table."""
    for name, table in TABLES.items():
        page = DOCS / name
        page.write_text(with_table(page.read_text(), table()))
        sys.stdout.write(f"docs/{name}\n")


if __name__ == "__main__":
    main()
