"""Shared by administration commands: running, printing, and the user that the audit trail names."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from deploy.cli.options import print_json, printable, render_json

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from api.write.principal import Principal
    from api.write.services import Services
    from shared.settings import Settings

T = TypeVar("T")

NOT_YET = "; readers will see it when a worker has published it"


def checked_handle(value: str | None) -> str | None:
    """The handle, checked. Raises BadParameter."""
    from shared.names import parse_handle
    from shared.publish_errors import InvalidName

    try:
        return None if value is None else parse_handle(value)
    except InvalidName as error:
        raise typer.BadParameter(error.message) from None


By = Annotated[
    str | None,
    typer.Option(
        "--by",
        metavar="HANDLE",
        help="User that the audit trail names.",
        show_default="the first administrator",
        callback=checked_handle,
    ),
]
HandleArgument = Annotated[str, typer.Argument(metavar="HANDLE", callback=checked_handle)]
PackageArgument = Annotated[str, typer.Argument(metavar="PACKAGE", help="Name of a package.")]


def act(by: str | None, work: Callable[[Services, Principal], Awaitable[T]]) -> T:
    """Do work on behalf of a user, or of the first administrator. Raises RegistryError."""
    from deploy.administration.acting import acting_as
    from shared.names import Handle

    async def run(settings: Settings) -> T:
        async with acting_as(settings, Handle(by) if by else None) as (services, caller):
            return await work(services, caller)

    return asyncio.run(run(_settings()))


def ask(work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    """The result of a database query. Raises RegistryError."""
    from shared.database import Database

    async def run(settings: Settings) -> T:
        database = Database(settings)
        try:
            async with database.transaction("REPEATABLE READ") as tx:
                return await work(tx)
        finally:
            await database.close()

    return asyncio.run(run(_settings()))


def print_rows(
    rows: Callable[[AsyncConnection], AsyncIterator[T]],
    line: Callable[[T], str],
    as_json: bool,
    heading: str,
) -> None:
    """Print rows as they arrive, one per line: below a heading for people, or as JSON."""

    async def each(tx: AsyncConnection) -> None:
        is_titled = as_json
        async for row in rows(tx):
            if not is_titled:  # only now: the query may be refused
                _print_line(heading)
                is_titled = True
            _print_line(render_json(row) if as_json else printable(line(row)))

    ask(each)


def _print_line(line: str) -> None:
    """Print a line at once. A reader that closes the pipe early, such as `head`, is not an error."""
    try:
        print(line, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit from None


def print_done(as_json: bool, text: str, is_visible: bool = True, **fields: Any) -> None:
    """Print the result of a change. is_visible: readers already see it."""
    if as_json:
        print_json({"ok": True, **fields, "visible": is_visible})
    else:
        print(text + ("" if is_visible else NOT_YET))


def moment(value: datetime | None) -> str:
    """A time as text: UTC, to the second; a dash for none."""
    from datetime import UTC

    return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if value is not None else "-"


def _settings() -> Settings:
    from deploy.cli.settings import command_settings

    return command_settings()
