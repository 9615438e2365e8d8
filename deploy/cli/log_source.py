"""The source that the commands of `log` read: the storage of the settings, or a public address."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass

import typer

from deploy.cli.settings import command_settings
from indexer.config import LogConfig, published_log
from indexer.log.invalid import LogInvalid
from indexer.log.note import VerifierKey
from indexer.log.reader import LogReader, fetch_from
from indexer.upkeep.address import Address
from indexer.upkeep.log_index import IndexFile, Names, index_file_in, names_in
from shared.storage.opening import open_storage


@dataclass(frozen=True, slots=True)
class LogSource:
    """A log, and the index beside it."""

    reader: LogReader
    names: Names
    index_file: IndexFile


@asynccontextmanager
async def open_source(
    url: str | None, vkey: str | None, token: str | None = None
) -> AsyncIterator[LogSource]:
    """The log at an address, or in the storage of the settings. Raises LogInvalid if there is none.

    token: for the address of a private registry.
    """
    async with AsyncExitStack() as stack:
        if url is None:
            settings = command_settings()
            storage = await open_storage(settings)
            stack.push_async_callback(storage.close)
            reader = LogReader(fetch_from(storage), [_key(vkey, await published_log(storage))])
            yield LogSource(reader, names_in(storage, settings.private_namespaces), index_file_in(storage))
        else:
            address = await stack.enter_async_context(open_address(url, token))
            reader = LogReader(address.log, [_key(vkey, await address.published_log())])
            yield LogSource(reader, address.names, address.index_file)


@asynccontextmanager
async def open_address(url: str, token: str | None = None) -> AsyncIterator[Address]:
    """Open a registry's address, as given in an option. Raises typer.BadParameter."""
    try:
        async with Address.open(url, token) as address:
            yield address
    except ValueError as error:
        if isinstance(error, LogInvalid):
            raise
        raise typer.BadParameter(str(error), param_hint="--url") from None


def _key(vkey: str | None, published: LogConfig | None) -> VerifierKey:
    """The key that must have signed the log: the given one, or else the published one."""
    if vkey is None and published is None:
        raise LogInvalid("config.json names no log")
    return VerifierKey.parse(vkey or (published.vkey if published else ""))


@contextmanager
def refusing() -> Iterator[None]:
    """Print an invalid log's error on one line, and exit with status 1."""
    try:
        yield
    except LogInvalid as error:
        print(f"x07-registry: {error}", file=sys.stderr)
        raise typer.Exit(1) from None


def parse_key(text: str, option: str = "--vkey") -> VerifierKey:
    """Parse an option's key. Raises typer.BadParameter."""
    try:
        return VerifierKey.parse(text)
    except LogInvalid as error:
        raise typer.BadParameter(str(error), param_hint=option) from None
