"""Checks the transparency log: database and storage agree about it, and it keeps up with publication."""

from __future__ import annotations

from typing import Final

from deploy.doctor.finding import Finding, failed, off, ok
from indexer.log.sequencer import open_sequencer
from indexer.queries.log import log_backlog
from shared.database import Database
from shared.errors import LogDiverged
from shared.messages import Notifier
from shared.settings import Settings
from shared.storage.opening import open_storage
from shared.text import counted

CHECK: Final = "transparency log"
MEND: Final = "fix the database and storage first; the log is in both"
RECOVER: Final = "read docs/log.md, then run `x07-registry log recover`"
LATE_S: Final = 60.0


async def examine_log(settings: Settings) -> list[Finding]:
    """One finding."""
    if settings.log_key() is None:
        return [off(CHECK, "there is none: X07_REGISTRY_LOG_KEY_B64 is not set")]
    database, notifier = Database(settings), Notifier(settings)
    storage = await open_storage(settings)
    try:
        sequencer = open_sequencer(settings, database, storage, notifier)
        if sequencer is not None:
            await sequencer.check()
        async with database.reading() as connection:
            backlog = await log_backlog(connection)
    except LogDiverged as error:
        return [failed(CHECK, error.message, RECOVER)]
    finally:
        await notifier.close()
        await storage.close()
        await database.close()
    if backlog.waiting_s > LATE_S:
        late = f"{backlog.waiting} published lines wait to be logged, one for {backlog.waiting_s:.0f} s"
        return [failed(CHECK, late, "start a worker that has X07_REGISTRY_LOG_KEY_B64, and read its log")]
    return [ok(CHECK, f"{counted(backlog.size, 'entry')}, {backlog.waiting} not logged yet")]
