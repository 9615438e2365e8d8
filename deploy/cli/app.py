"""The command `x07-registry` and its commands; each group of commands has a file of its own.

Commands import their code only when they run, so that `--help` and `up` start quickly.
"""

from __future__ import annotations

from typing import Annotated, Any, cast

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup

from deploy.cli import (
    audit,
    backfill_signatures,
    backup,
    doctor,
    export,
    gc,
    log,
    migrate,
    mirror,
    owner,
    package,
    rebuild,
    reindex,
    repair,
    serve,
    token,
    trusted_publisher,
    up,
    user,
    verify,
    webhook,
    worker,
)
from deploy.cli.failures import reporting_failures
from deploy.cli.settings import add_data_dir

# The processes of a registry, and the command that makes the database of one.
PROCESSES = ("up", "serve", "worker", "restore")


class CommandLine(TyperGroup):
    """The group of all commands. It refuses the value of an option in our words, not in pydantic's."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was named. Raises BadParameter."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = _in_our_words(error)
            raise


def _in_our_words(error: typer.BadParameter) -> str:
    from pydantic import ValidationError

    from shared.variables import allowed_by

    if not isinstance(error.__cause__, ValidationError):
        return error.message
    item = dict(error.__cause__.errors()[0])
    allowed = allowed_by(item)
    return allowed if item["type"] == "value_error" else f'"{item["input"]}"; allowed: {allowed}'


app = typer.Typer(
    name="x07-registry",
    cls=CommandLine,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        from shared.version import VERSION

        print(f"x07-registry {VERSION}")
        raise typer.Exit


@app.callback()
def _all(
    version: Annotated[
        bool, typer.Option("--version", help="Print the release.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """The package registry for the x07 language. Settings are environment variables, X07_REGISTRY_…."""


app.command()(up.up)
app.command()(serve.serve)
app.command()(worker.worker)
app.command()(migrate.migrate)
app.command()(doctor.doctor)
app.command()(verify.verify)
app.command()(repair.repair)
app.command()(gc.gc)
app.command()(reindex.reindex)
app.command()(export.export)
app.command()(mirror.mirror)
app.command()(backup.backup)
app.command()(backup.restore)
app.command()(rebuild.rebuild_from_tree)
app.command()(backfill_signatures.backfill_signatures)
app.command()(audit.audit)
app.add_typer(user.app, name="user")
app.add_typer(token.app, name="token")
app.add_typer(trusted_publisher.app, name="trusted-publisher")
app.add_typer(owner.app, name="owner")
app.add_typer(package.app, name="package")
app.add_typer(webhook.app, name="webhook")
app.add_typer(log.app, name="log")


def command_line() -> TyperGroup:
    """The whole command line. All commands except the registry's own processes look for a local registry."""
    group = cast(TyperGroup, typer.main.get_command(app))  # also sets up completion
    _find_local_registries(group)
    return group


def _find_local_registries(group: TyperGroup) -> None:
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            _find_local_registries(command)
        elif isinstance(command, TyperCommand) and name not in PROCESSES:
            add_data_dir(command)


def main() -> None:
    """Run the command line. Exits with 2 for wrong settings or arguments, 1 for other failures."""
    with reporting_failures():
        command_line()(prog_name="x07-registry")
