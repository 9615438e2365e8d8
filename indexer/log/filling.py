"""Hands lines to the log that publication did not hand over: older ones, and those of other workers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Final

import structlog

from indexer.entry import render_line, render_lines, render_tombstone
from indexer.log.entry import changed_line, changed_lines
from indexer.log.tree import EMPTY_ROOT
from indexer.queries import log_filling as rows
from indexer.queries import packages
from indexer.queries.log import hand_over
from indexer.rows import ChangedLine, PackageRow, VersionRow
from shared.database import Database
from shared.errors import DatabaseCorrupt
from shared.names import PackageName
from shared.private_names import is_private

PACKAGES_AT_ONCE: Final = 100

log = structlog.get_logger()


async def backfill(database: Database, origin: str, private: Collection[str]) -> None:
    """Begin a new log: hand over every line of public packages, in the order of publication.

    private: patterns of names (shared/private_names.py), here and below.

    This is done completely or not at all. Publication hands over nothing before it has ended; catch_up finds
    the packages that changed meanwhile.
    """
    async with database.transaction() as tx:
        await rows.begin_log(tx, origin, 0, EMPTY_ROOT, ())
        await rows.mark_all_compared(tx)
    count = 0
    async with database.transaction() as tx:
        async for page in rows.past_versions(tx):
            lines = list(_lines_of(page, private))
            await hand_over(tx, lines, is_backfill=True)
            count += len(lines)
        removed = [
            changed_line(name, row.version, render_tombstone(name, row))
            for name, row in await rows.past_removals(tx)
            if not is_private(name, private)
        ]
        await hand_over(tx, removed, is_backfill=True)
        await rows.end_backfill(tx)
    log.info("log_began", origin=origin, lines=count + len(removed))


async def catch_up(database: Database, official_handle: str, private: Collection[str]) -> None:
    """Hand over lines of published packages that no worker with the log's key has compared yet."""
    while await _compare_some(database, official_handle, private):
        pass


async def _compare_some(database: Database, official_handle: str, private: Collection[str]) -> bool:
    """Compare some packages. False if none is left, or if all that are left are being published."""
    async with database.transaction() as tx:
        names = await rows.packages_behind(tx, PACKAGES_AT_ONCE)
        if not names:
            return False
        states = await packages.lock_states(tx, names, official_handle)
        clean = [state.package for state in states if state.is_locked and state.is_clean]
        shown = [package for package in clean if not is_private(package.name, private)]
        await hand_over(tx, [line for package in shown for line in _changed_of(package)])
        await rows.mark_compared(tx, [package.id for package in clean])
    return bool(clean)


def _lines_of(
    versions: Iterable[tuple[PackageName, VersionRow]], private: Collection[str]
) -> Iterator[ChangedLine]:
    for name, row in versions:
        if is_private(name, private):
            continue
        try:
            line = render_line(name, row)
        except DatabaseCorrupt as error:  # it is not published either
            log.warning("line_not_logged", package=name, version=row.version, reason=error.message)
        else:
            yield changed_line(name, row.version, line, row.provenance)


def _changed_of(package: PackageRow) -> list[ChangedLine]:
    try:
        return list(changed_lines(package, render_lines(package)))
    except DatabaseCorrupt as error:
        log.warning("lines_not_logged", package=package.name, reason=error.message)
        return []
