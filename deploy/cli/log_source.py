"""The source that the commands of `log` read: the storage of the settings, or a public address."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial

import typer

from deploy.cli.options import printable
from deploy.cli.settings import command_settings
from indexer.config import published_log
from indexer.log.invalid import LogInvalid
from indexer.log.note import VerifierKey
from indexer.log.reader import LogReader, fetch_from
from indexer.upkeep.address import Address
from indexer.upkeep.log_index import IndexFile, Names, PublishedLog, index_file_in, names_in
from shared.storage.opening import open_storage


@dataclass(frozen=True, slots=True)
class LogSource:
    """A log, and the index beside it."""

    reader: LogReader
    names: Names
    index_file: IndexFile
    published: PublishedLog


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
            published = partial(published_log, storage)
            reader = LogReader(fetch_from(storage), [await _key(vkey, published)])
            names = names_in(storage, settings.private_namespaces)
            yield LogSource(reader, names, index_file_in(storage), published)
        else:
            address = await stack.enter_async_context(open_address(url, token))
            reader = LogReader(address.log, [await _key(vkey, address.published_log)])
            yield LogSource(reader, address.names, address.index_file, address.published_log)


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


async def _key(vkey: str | None, published: PublishedLog) -> VerifierKey:
    """The key that must have signed the log: the given one, or else the published one. Raises LogInvalid."""
    if vkey is not None:
        return VerifierKey.parse(vkey)
    if (log := await published()) is None:
        raise LogInvalid("config.json names no log")
    return VerifierKey.parse(log.vkey)


@contextmanager
def refusing() -> Iterator[None]:
    """Print an invalid log's error on one line, and exit with status 1."""
    try:
        yield
    except LogInvalid as error:
        print(printable(f"x07-registry: {error}"), file=sys.stderr)
        raise typer.Exit(1) from None


def parse_key(text: str, option: str = "--vkey") -> VerifierKey:
    """Parse an option's key. Raises typer.BadParameter."""
    try:
        return VerifierKey.parse(text)
    except LogInvalid as error:
        raise typer.BadParameter(str(error), param_hint=option) from None
