"""`python -m tests.faults.power_cut`: cuts the power at every moment of a recorded run.

A registry publishes, yanks, warns, changes owners and removes a version, while its calls to the disk and its
commits are recorded. Then every prefix of the recording is taken for the moment of a power cut, with any
subset lost of what was not synced (power_disk.py). Readers look at what is left, and a worker starts over it
with the rows of that moment (power_judge.py). The method is that of ALICE (Pillai et al., OSDI 2014) and of
CrashMonkey (Mohan et al., OSDI 2018).
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from api.write.app import open_services
from api.write.principal import Principal
from api.write.removal import remove_version
from shared.blobs import CATALOG_KEY, CONFIG_KEY
from shared.database import Database
from shared.messages import Notifier
from shared.names import PackageName
from shared.settings import Settings
from shared.storage.filesystem import FileSystemStorage
from shared.telemetry import configure_logging
from shared.versions import VersionText
from tests.archives import hello_archive
from tests.faults.power_disk import Event, cut_after
from tests.faults.power_judge import Cut, Judge, Verdicts, whole_bodies
from tests.faults.power_log import checkpoints_in
from tests.faults.power_recording import Recorder
from tests.faults.power_rows import AllRows
from tests.faults.power_syncs import kinds_of_syncs, without
from tests.faults.servers import Servers
from tests.log.logs import LOGGING, add_lines
from tests.memory import servers_directory
from tests.stack import Registry, eventually, running_registry

NOTHING_LEFT = """
SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM index_state WHERE generation > published_generation)
           AND NOT EXISTS (SELECT 1 FROM catalog_changes)
           AND NOT EXISTS (SELECT 1 FROM log_pending)
           AND (SELECT max(entry_index) + 1 FROM log_entries) = (SELECT size FROM log_state)
"""
EARLIER_ENTRIES = 250
"""The first tile becomes full in the recorded run."""
ADVISORY = {"kind": "broken", "severity": "high", "summary": "Does not start."}
SHOWN_COMPLAINTS = 5


def main() -> None:
    """Record once, try the prefixes, print the figures. Exits with 1 if anything was lost or stayed torn."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.power_cut")
    parser.add_argument("--prefixes", type=int, default=10_000, help="how many cuts to try")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--packages", type=int, default=4, help="packages of the recorded run")
    parser.add_argument("--each-sync", action="store_true", help="take each kind of sync away in turn, too")
    sys.exit(asyncio.run(_run(parser.parse_args())))


async def _run(arguments: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="x07-power-", dir=servers_directory()) as directory:
        async with Servers.running() as servers:
            settings = settings_of(servers.valkey.url, await servers.new_database(), Path(directory) / "tree")
            configure_logging(settings)
            begun, (events, start) = time.monotonic(), await recording(settings, arguments.packages)
            async with judging(settings, events) as judge:
                verdicts = await try_cuts(judge, events, start, arguments.prefixes, arguments.seed)
                report(f"seed {arguments.seed}, {len(events)} events", verdicts)
                print(f"{time.monotonic() - begun:.0f} s", flush=True)
                if arguments.each_sync:
                    await without_each_sync(judge, events, start, arguments)
    return 1 if verdicts.complaints else 0


async def without_each_sync(
    judge: Judge, events: list[Event], start: int, arguments: argparse.Namespace
) -> None:
    """Try the same cuts without one kind of sync after another, until one of them objects."""
    for kind, count in kinds_of_syncs(events[start:]).items():
        less = events[:start] + without(events[start:], kind)
        missed = await try_cuts(judge, less, start, arguments.prefixes, arguments.seed, stop=True)
        report(f"without {kind} ({count} in the run)", missed)


def settings_of(redis_url: str, database_url: str, root: Path) -> Settings:
    """Settings of the recorded registry."""
    return Settings(
        database_url=database_url,
        redis_url=redis_url,
        redis_namespace="power-cut",
        data_dir=root,
        spool_dir=root.parent,
        catalog_debounce_seconds=0.02,
        sweep_seconds=0.5,
        log_level="error",
        **LOGGING,
    )


def report(what: str, verdicts: Verdicts) -> None:
    """Print the figures of one series of cuts."""
    print(
        f"{what}: prefixes tried {verdicts.tried}, different states {verdicts.judged}, "
        f"acknowledged lost, torn or not mended {len(verdicts.complaints)}",
        flush=True,
    )
    for complaint, times in Counter(verdicts.complaints).most_common(SHOWN_COMPLAINTS):
        print(f"  {times} x {complaint}", flush=True)


async def recording(settings: Settings, packages: int) -> tuple[list[Event], int]:
    """The events of a run, and the number of those that came before the first publish."""
    settings.data_dir.mkdir(parents=True)
    rows = await AllRows.of(settings.database_url.get_secret_value(), settings.database_schema)
    recorder = Recorder(settings.data_dir, rows.read)
    try:
        with recorder.running():
            async with running_registry(settings) as registry:
                await eventually(partial(has_begun, registry))
                alice = await registry.add_publisher("alice", "publish", "owner.manage")
                admin = await registry.add_user("admin")
                await registry.add_user("bob")
                await add_lines(registry, EARLIER_ENTRIES)
                await registry.until_row(NOTHING_LEFT)
                start = len(recorder.events)
                names = [f"hello{number}" for number in range(packages)]
                await asyncio.gather(*(use(registry, name, alice, admin) for name in names))
                await registry.until_row(NOTHING_LEFT)
        return recorder.events, start
    finally:
        await rows.close()


async def has_begun(registry: Registry) -> bool:
    """True once catalog and configuration are published; the log may have begun, too."""
    return {CATALOG_KEY, CONFIG_KEY} <= set(await registry.keys())


async def use(registry: Registry, name: str, alice: dict[str, str], admin: UUID) -> None:
    """One package: four versions, a yank, an advisory, an owner, and one version removed for good."""
    for number in range(4):
        answer = await registry.publish(hello_archive(name, f"0.{number}.0", description="d" * 2000), alice)
        assert answer.status_code == 200, answer.text
    base = f"/v1/packages/{name}"
    await post(registry.http, f"{base}/0.1.0/yank", alice, {"yanked": True})
    await post(registry.http, f"{base}/0.2.0/advisories", alice, ADVISORY)
    await post(registry.http, f"{base}/owners", alice, {"handle": "bob"})
    async with open_services(registry.settings) as services:
        caller = Principal(admin, "admin", None, ("admin",), email_verified=True)
        await remove_version(services, caller, PackageName(name), VersionText("0.0.0"), "court order")


async def post(http: httpx.AsyncClient, path: str, headers: dict[str, str], body: Any) -> None:
    """A change that succeeds."""
    answer = await http.post(path, json=body, headers=headers)
    assert answer.status_code == 200, answer.text


@asynccontextmanager
async def judging(settings: Settings, events: Sequence[Event]) -> AsyncIterator[Judge]:
    """A judge over the directory and database of the recording, in which nothing runs any more."""
    rows = await AllRows.of(settings.database_url.get_secret_value(), settings.database_schema)
    database, notifier = Database(settings), Notifier(settings)
    storage = FileSystemStorage(settings.data_dir)
    try:
        async with httpx.AsyncClient() as http:
            registry = Registry(settings, "", http, database, storage)
            yield Judge(registry, notifier, rows, whole_bodies(events))
    finally:
        await storage.close()
        await notifier.close()
        await database.close()
        await rows.close()


async def try_cuts(
    judge: Judge, events: Sequence[Event], start: int, tries: int, seed: int, *, stop: bool = False
) -> Verdicts:
    """Cut the power after prefixes that are spread evenly from `start` on. stop: at the first complaint."""
    verdicts = Verdicts()
    for number in range(tries):
        end = start + number * (len(events) - start) // max(tries - 1, 1)
        rows, files = cut_after(events, end, random.Random(f"{seed}-{number}"))
        cut = Cut(rows, files, checkpoints_in(events[:end]))
        await judge.look(verdicts, f"after event {end}", cut)
        if stop and verdicts.complaints:
            break
    return verdicts


if __name__ == "__main__":
    main()
