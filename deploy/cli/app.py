"""The command `x07-registry`: its commands, and how failures are told. Each group has a file of its own.

Commands import what they run only when they run it, so that `--help` and `up` answer quickly.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from deploy.cli import (
    audit,
    backfill_signatures,
    doctor,
    export,
    gc,
    migrate,
    owner,
    package,
    rebuild,
    reindex,
    repair,
    serve,
    token,
    up,
    user,
    verify,
    worker,
)
from deploy.errors import StartFailed
from shared.errors import RegistryError
from shared.settings import SettingsError

EXIT_FAILED = 1
EXIT_WRONG_SETTINGS = 2

app = typer.Typer(
    name="x07-registry",
    help="The package registry for the x07 language. Settings are environment variables, X07_REGISTRY_….",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
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
app.command()(rebuild.rebuild_from_tree)
app.command()(backfill_signatures.backfill_signatures)
app.command()(audit.audit)
app.add_typer(user.app, name="user")
app.add_typer(token.app, name="token")
app.add_typer(owner.app, name="owner")
app.add_typer(package.app, name="package")


def main() -> None:
    """Run the command line. Exits with 2 for wrong settings or arguments, 1 for what cannot be done."""
    with told():
        app(prog_name="x07-registry")


@contextmanager
def told() -> Iterator[None]:
    """Turns what a command cannot do into one line and an exit status."""
    try:
        yield
    except SettingsError as error:
        _exit(EXIT_WRONG_SETTINGS, str(error))
    except (StartFailed, OSError) as error:
        _exit(EXIT_FAILED, str(error))
    except RegistryError as error:
        _exit(EXIT_FAILED, f"{error.message} ({error.code})")


def _exit(status: int, message: str) -> None:
    print(f"x07-registry: {message}", file=sys.stderr)
    sys.exit(status)
