"""Reads beside a static file server written in C and other servers, in one run.

`python -m tests.bench.reads [--quick] [PART ...]`: rates, beside, workers, freshness, publishing, memory;
all of them when none is named. Prints markdown, ready for docs/benchmarks-reads.md.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import SecretStr

from shared.settings import PREFIX, Settings
from tests.bench.load import (
    CLIENT_CORE,
    CLIENT_HEADERS,
    SERVER_CORE,
    Load,
    many_requests,
    on_core,
    one_request,
    require_wrk,
    rss_mib,
    wrk,
)
from tests.bench.measure import Client, archive_of, machine
from tests.bench.peers import NotInstalled, running_devpi, running_verdaccio
from tests.bench.read_readers import Publishers, freshness_ms, new_name, open_idle
from tests.bench.read_sides import (
    Side,
    application,
    archive_path,
    etag_at,
    fill,
    granian,
    index_path,
    names,
    nginx,
    nginx_cache,
    ours,
)
from tests.deploy.processes import Up

NAMES = 2_000
BLOCKS = 10_000
# More than the memo of header blocks remembers, so that each one is new.
NEW_BLOCKS = 50_000
FLOOR = 0.9
MEMORY_AIM_MIB = 160
PUBLISHERS = 16


@dataclass(frozen=True, slots=True)
class Bench:
    """Shared by all parts. seconds: of one run. rounds: of runs that are compared."""

    settings: Settings
    directory: Path
    seconds: float
    rounds: int


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of request. aim: our rate divided by nginx's."""

    name: str
    requests: Callable[[Side], Sequence[bytes]]
    aim: float


def scenarios() -> list[Scenario]:
    """The scenarios of the aim."""
    all_names = names(NAMES)
    index, archive = index_path(all_names[0]), archive_path(all_names[0])
    paths = [index_path(name) for name in all_names]
    return [
        Scenario("1.7 KB index file, 200", lambda side: one_request(index), 1.2),
        Scenario(
            "the same, 304", lambda side: one_request(index, {"If-None-Match": etag_at(side, index)}), 1.1
        ),
        Scenario(
            "the same, 200, a connection for each",
            lambda side: one_request(index, {"Connection": "close"}),
            FLOOR,
        ),
        Scenario("24 KB archive", lambda side: one_request(archive), 1.0),
        Scenario(
            f"{NAMES:,} names, {BLOCKS:,} header blocks", lambda side: many_requests(paths, BLOCKS), 1.2
        ),
        Scenario(
            f"{NAMES:,} names, every header block new", lambda side: many_requests(paths, NEW_BLOCKS), FLOOR
        ),
    ]


def rates(bench: Bench) -> None:
    """Ours and nginx, round by round; the best round of each counts, as other work only slows runs down."""
    _title(
        "Beside nginx", "one core each for the server and for wrk, 32 connections, the command line's headers"
    )
    rows = []
    with ours(bench.settings, bench.directory) as us, nginx(bench.settings, bench.directory) as peer:
        warm(us)
        for scenario in scenarios():
            best: dict[str, Load] = {}
            for _ in range(bench.rounds):
                for side in (peer, us):
                    load = _load(side, scenario.requests(side), bench)
                    kept = best.get(side.name)
                    if kept is None or load.cpu_us < kept.cpu_us:
                        best[side.name] = load
            rows += _compared(scenario, best[us.name], best[peer.name])
        _table([*LOAD_COLUMNS, "rate / nginx", "CPU nginx / ours", "aim"], rows)
        print(
            f"\nResident memory: ours {rss_mib(us.process):.0f} MiB, nginx {rss_mib(peer.process):.0f} MiB.\n"
        )


LOAD_COLUMNS = ["", "a second", "server CPU us", "client busy", "p50 us", "p99 us", "p99.9 us"]


def _compared(scenario: Scenario, us: Load, peer: Load) -> list[list[str]]:
    rate, cpu = us.per_second / peer.per_second, peer.cpu_us / us.cpu_us
    counted = cpu if us.is_bound_by_client else rate
    by = "by CPU" if us.is_bound_by_client else "by rate"
    verdict = f"{scenario.aim:.1f} {by}: {'met' if counted >= scenario.aim else '**missed**'}"
    return [
        [f"{scenario.name}: ours", *_figures(us), f"{rate:.2f}", f"{cpu:.2f}", verdict],
        ["nginx", *_figures(peer), "", "", ""],
    ]


def _figures(load: Load) -> list[str]:
    errors = f" ({load.errors} errors)" if load.errors else ""
    figures = [load.p50_us, load.p99_us, load.p999_us]
    rate = f"{load.per_second:,.0f}{errors}"
    return [rate, f"{load.cpu_us:.1f}", f"{load.client:.0%}", *(f"{figure:,.0f}" for figure in figures)]


def _load(side: Side, requests: Sequence[bytes], bench: Bench) -> Load:
    print(f"measuring {side.name}: {requests[0].split()[1].decode()}", file=sys.stderr, flush=True)
    return wrk(side.address, side.process, requests, bench.directory, seconds=bench.seconds)


def warm(side: Side) -> None:
    """Load every file into memory and let the fast path learn it."""
    client = Client(side.address)
    for name in names(NAMES):
        client.require("GET", index_path(name), None, CLIENT_HEADERS)
    client.close()


def beside(bench: Bench) -> None:
    """Other servers of the tree, and a package page of two other registries."""
    _title(
        "Beside others", "the same index file; devpi and verdaccio: the page of one package with one version"
    )
    index = index_path(names(1)[0])
    rows, missing = [], []
    with ExitStack() as stack:
        us = stack.enter_context(ours(bench.settings, bench.directory))
        one_by_one: list[Callable[[], AbstractContextManager[Side]]] = [
            lambda: nginx(bench.settings, bench.directory),
            lambda: nginx_cache(us, bench.directory),
            lambda: application("long", "ours without the fast path", bench.settings, bench.directory),
            lambda: application("uvicorn", "ours behind plain uvicorn", bench.settings, bench.directory),
            lambda: granian(bench.settings, bench.directory),
            lambda: application("static", "Starlette's StaticFiles", bench.settings, bench.directory),
        ]
        rate = _load(us, one_request(index), bench)
        rows.append([us.name, *_figures(rate), "1.0", "1.0"])
        for opened in one_by_one:
            try:
                with opened() as side:
                    load = _load(side, one_request(index), bench)
            except (NotInstalled, RuntimeError) as error:
                missing.append(f"MISSING: {error}")
            else:
                rows.append([side.name, *_figures(load), *_behind(load, rate)])
    for name, opened_peer in (("devpi-server", running_devpi), ("verdaccio", running_verdaccio)):
        try:
            with on_core(SERVER_CORE), opened_peer(bench.directory) as peer:
                client = Client(peer.address)
                method, path, body, headers = peer.prepare("hello", archive_of("hello"))
                client.require(method, path, body, headers)
                page = peer.page("hello")
                client.require("GET", page)
                client.close()
                load = _load(Side(peer.name, peer.process, peer.address), one_request(page), bench)
        except (NotInstalled, RuntimeError, OSError) as error:
            missing.append(f"MISSING: {name}: {error}")
        else:
            rows.append([peer.name, *_figures(load), *_behind(load, rate)])
    _table([*LOAD_COLUMNS, "our rate / its", "its CPU / ours"], rows)
    _notes(missing)


def _behind(load: Load, us: Load) -> list[str]:
    return [f"{us.per_second / load.per_second:.1f}", f"{load.cpu_us / us.cpu_us:.1f}"]


def workers(bench: Bench) -> None:
    """One process and two, with all cores; on two cores, the client uses a part of both."""
    _title("Workers", f"all {os.cpu_count()} cores for the servers and the client together")
    index, rows = index_path(names(1)[0]), []
    for count in (1, 2):
        with ours(bench.settings, bench.directory, "--workers", str(count), core=None) as side:
            load = _load(side, one_request(index), bench)
            memory = f"{rss_mib(side.process, 'VmRSS'):.0f}"
            rows.append([f"{count} process{'es' if count > 1 else ''}", *_figures(load), memory])
    _table([*LOAD_COLUMNS, "MiB together"], rows)


@contextmanager
def registry(bench: Bench) -> Iterator[Up]:
    """A whole registry on the client's core."""
    with on_core(CLIENT_CORE):
        up = Up(bench.directory / f"registry-{time.monotonic_ns()}")
    try:
        yield up
    finally:
        up.stop()


def readers_of(
    up: Up, bench: Bench, *arguments: str, with_redis: bool = True
) -> AbstractContextManager[Side]:
    """Separate read processes over a registry's tree."""
    redis = f"unix://{(up.data_dir / 'run').resolve()}/valkey.sock?db=0"
    settings = Settings(data_dir=up.data_dir, redis_url=SecretStr(redis))
    others = {f"{PREFIX}REDIS_URL": redis} if with_redis else {}
    return ours(settings, bench.directory, *arguments, **others, **{f"{PREFIX}READ_TTL_SECONDS": "5"})


def freshness(bench: Bench) -> None:
    """Time from the acknowledgement of a publish until both of two read processes answer with its line."""
    _title(
        "Freshness", "acknowledgement of a publish until both of two read processes answer with the new line"
    )
    rows = []
    with registry(bench) as up:
        publishers = Publishers(up, 1)
        for label, with_redis, count in (
            ("with Redis", True, bench.rounds * 50),
            ("without, TTL 5 s", False, 4),
        ):
            with readers_of(up, bench, "--workers", "2", with_redis=with_redis) as side:
                each = sorted(freshness_ms(publishers, side.address, count))
            aim = 100.0 if with_redis else 5_000 + 200.0
            p99 = each[min(len(each) - 1, len(each) * 99 // 100)]
            verdict = f"{aim:,.0f}: {'met' if p99 < aim else '**missed**'}"
            rows.append(
                [
                    label,
                    str(count),
                    f"{each[len(each) // 2]:,.1f}",
                    f"{p99:,.1f}",
                    f"{each[-1]:,.1f}",
                    verdict,
                ]
            )
    _table(["", "publishes", "p50 ms", "p99 ms", "most ms", "aim, p99 ms"], rows)


def publishing(bench: Bench) -> None:
    """Latency of one reader on one core, idle and while publishers work on the other."""
    _title(
        "Reads while others publish",
        f"one connection and the read process on one core; registry, worker, Postgres and {PUBLISHERS} "
        "publishers on the other",
    )
    with registry(bench) as up, readers_of(up, bench) as side:
        publishers = Publishers(up, PUBLISHERS)
        publishers.publish(name := new_name(), "0.1.0")
        index = one_request(index_path(name))

        def read() -> Load:
            return wrk(
                side.address,
                side.process,
                index,
                bench.directory,
                seconds=bench.seconds * 2,
                connections=1,
                core=SERVER_CORE,
            )

        idle = read()
        with publishers.at_work() as published:
            busy = read()
            count = published()
    ratio = busy.p99_us / idle.p99_us
    verdict = f"2.0: {'met' if ratio <= 2 else '**missed**'}"
    rows = [
        ["idle", *_figures(idle), "", ""],
        [f"{PUBLISHERS} publishers, {count} publishes", *_figures(busy), f"{ratio:.2f}", verdict],
    ]
    _table([*LOAD_COLUMNS, "p99 / idle", "aim"], rows)


def memory(bench: Bench) -> None:
    """Peak memory of one read process under several kinds of load, with default settings."""
    _title(
        "Memory of a read process", f"default settings, most resident MiB so far; aim below {MEMORY_AIM_MIB}"
    )
    rows = []
    paths = [index_path(name) for name in names(NAMES)]
    archive = archive_path(names(1)[0])
    with ours(bench.settings, bench.directory) as side:

        def note(label: str) -> None:
            rows.append([label, f"{rss_mib(side.process):.0f}"])

        note("started")
        _load(side, many_requests(paths, NEW_BLOCKS), bench)
        note(f"{NAMES:,} names, {NEW_BLOCKS:,} header blocks")
        _load(side, one_request(archive), bench)
        note("an archive, as fast as it goes")
        with open_idle(side.address, 10_000) as held:
            note(f"10,000 idle connections opened, {held():,} of them held")
    _table(["", "MiB"], rows)


PARTS: dict[str, Callable[[Bench], None]] = {
    "rates": rates,
    "beside": beside,
    "workers": workers,
    "freshness": freshness,
    "publishing": publishing,
    "memory": memory,
}


def main(arguments: Sequence[str] = ()) -> None:
    """Run the named parts, or all."""
    parts = [word for word in arguments if word != "--quick"] or list(PARTS)
    if any(part not in PARTS for part in parts):
        sys.exit(f"usage: python -m tests.bench.reads [--quick] [{' | '.join(PARTS)} ...]")
    require_wrk()
    is_quick = "--quick" in arguments
    print(f"Measured {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {machine()}.")
    print(f"To repeat the run: `python -m tests.bench.reads {' '.join(arguments)}`".rstrip("` ") + "`.\n")
    if os.getloadavg()[0] > (os.cpu_count() or 1) / 2:
        print(
            "**THE MACHINE IS BUSY: rates are what others leave over; only processor time says anything.**\n"
        )
    if (os.cpu_count() or 1) < 2:
        print("**ONE CORE: server and client share it; no rate below means anything.**\n")
    with tempfile.TemporaryDirectory(prefix="x07-bench-") as text:
        directory = Path(text)
        settings = Settings(data_dir=directory / "tree")
        bench = Bench(settings, directory, 1 if is_quick else 3, 1 if is_quick else 3)
        asyncio.run(fill(settings, NAMES))
        for part in parts:
            try:
                PARTS[part](bench)
            except (NotInstalled, RuntimeError, AssertionError) as error:
                print(f"\n**MISSING: {part} was not measured: {str(error)[-300:]}**\n")


def _title(title: str, about: str) -> None:
    print(f"\n## {title}\n\n{about[0].upper()}{about[1:]}.\n", flush=True)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[place]) for row in (columns, *rows)) for place in range(len(columns))]
    for row in (columns, ["-" * (width - 1) + ":" for width in widths], *rows):
        cells = [
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        if row is not columns and set(row[0]) <= {"-", ":"} and row[0]:
            cells[0] = "-" * widths[0]
        print(f"| {' | '.join(cells)} |", flush=True)


def _notes(notes: Sequence[str]) -> None:
    if notes:
        print()
    for note in notes:
        print(f"- {note}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
