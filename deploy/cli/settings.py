"""The settings of a command: from the environment, or from the registry that `up` runs on this machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
import typer.main
from typer.core import TyperCommand

from deploy.cli.options import parse_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.settings import Settings

LOG_LEVEL: Final = "X07_REGISTRY_LOG_LEVEL"
DATABASES: Final = ("X07_REGISTRY_DATABASE_URL", "DATABASE_URL")


_asked: list[Path] = []
"""The value of --data-dir for the one command that this process runs."""


def _remember(value: Path | None) -> Path | None:
    _asked[:] = [value] if value else []
    return value


DataDir = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        parser=parse_folder,
        help="Data directory of a registry that `x07-registry up` runs.",
        show_default="X07_REGISTRY_DATA_DIR, or data; not used if the environment names another database",
        expose_value=False,
        callback=_remember,
    ),
]


def add_data_dir(command: TyperCommand) -> None:
    """Give a command the option that names a local registry."""
    command.params += _options_of_all.params


_only_options = typer.Typer(add_completion=False)


@_only_options.command()
def _of_all(data_dir: DataDir = None) -> None:
    """Not a command: its parameters are the options that every command has."""


_options_of_all = typer.main.get_command(_only_options)


def command_settings(**overrides: Any) -> Settings:
    """Load the settings of this command and configure logging. Raises SettingsError, StartFailed, OSError.

    overrides: values by field name.
    """
    use_local_registry()
    return quiet_settings(**overrides)


def quiet_settings(**overrides: Any) -> Settings:
    """Load settings from the environment and configure logging. Raises SettingsError.

    A command tells people in sentences what it does and why it fails, so it logs errors only, unless
    X07_REGISTRY_LOG_LEVEL is set. overrides: values by field name.
    """
    from shared.settings import load_settings
    from shared.telemetry import configure_logging
    from shared.variables import told_of

    is_log_asked = any(name.upper() == LOG_LEVEL for name in os.environ)
    settings = load_settings(**({} if is_log_asked else {"log_level": "error"}), **overrides)
    configure_logging(settings)
    if not is_log_asked:
        for told in told_of(settings.unknown_variables):
            print(f"x07-registry: {told}", file=sys.stderr)
    return settings


def use_local_registry() -> None:
    """Set the environment for the registry that `up` runs, if the command means it, and print that.

    Raises StartFailed if it does not run, OSError if its description cannot be read.
    """
    from deploy.errors import StartFailed
    from deploy.local.description import described, is_running

    asked = next(iter(_asked), None)
    data_dir = (asked or Path(os.environ.get("X07_REGISTRY_DATA_DIR") or "data")).absolute()
    variables = described(data_dir)
    if variables is None and asked is not None:
        raise StartFailed(f"no registry of `x07-registry up` is in {data_dir}")
    if variables is None or (asked is None and _names_another(variables)):
        return
    if not is_running(data_dir):
        raise StartFailed(
            f"the registry in {data_dir} does not run; start it with `x07-registry up --data-dir {data_dir}`"
        )
    os.environ.update(variables)
    print(f"x07-registry: using the registry that runs in {data_dir}", file=sys.stderr)


def _names_another(variables: Mapping[str, Any]) -> bool:
    """True if the environment names another database than the local registry's."""
    named = next((os.environ[name] for name in DATABASES if os.environ.get(name)), None)
    return named not in (None, variables[DATABASES[0]])
