"""A search in a large registry, beside a plain LIKE query over packages and manifests."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import msgspec

from deploy.local.home import open_home
from deploy.local.postgres import EmbeddedPostgres
from deploy.migrations.runner import migrate
from shared.settings import Settings
from tests.bench.measure import Client, Times, print_table, timed
from tests.bench.peers import answering, free_port, stop
from tests.deploy.processes import COMMAND, environment

PACKAGES = 100_000
REPEATS = 40
QUERIES = 1000
AIM_MS = 20
LEXICON = """
json http url fs net data model error bigint decimal byteorder hex math pb msg core kafka redis postgres
sqlite amqp s3 cbor yaml toml xml csv regex glob walk time date uuid rand crypto hash sha aes rsa tls tcp
udp dns quic grpc rest graph ql index tree map set list queue heap sort cache pool worker task cron event
stream log trace metric span test bench mock fuzz cli tui color term arg parse lex token ast wasm elf
bytes text utf8 ascii base64 zip gzip zstd tar image png jpeg svg pdf font audio video matrix vector
stats prob tensor gpu simd atomic lock mutex async future actor raft gossip crdt merkle sign jwt oauth
ldap smtp mail push webhook bot chat
"""
WORDS = LEXICON.split()


class Case(msgspec.Struct, frozen=True):
    """One search."""

    q: str
    limit: int = 20
    offset: int = 0
    scale_tested: bool = False

    @property
    def path(self) -> str:
        """The search as a request's path."""
        tested = str(self.scale_tested).lower()
        return f"/v1/search?q={quote(self.q)}&limit={self.limit}&offset={self.offset}&scale_tested={tested}"

    @property
    def label(self) -> str:
        """The search as the table shows it."""
        offset = f", from {self.offset:,}" if self.offset else ""
        return f"{self.q!r}, {self.limit} names{offset}{', tested' if self.scale_tested else ''}"


CASES = (
    Case(""),
    Case("", limit=100, offset=90_000),
    Case("e"),
    Case("-", limit=100),
    Case("q"),
    Case("rs"),
    Case("zq"),
    Case("ext"),
    Case("ext-", limit=100),
    Case("-rs"),
    Case("json"),
    Case("json", offset=1_000),
    Case("zstd-tar"),
    Case("no-such-name"),
    Case("e", scale_tested=True),
    Case("json", scale_tested=True),
)

FILL = """
    INSERT INTO users (handle) VALUES ('bench');
    INSERT INTO packages (name, created_by, latest_version)
    SELECT name, (SELECT id FROM users), '0.1.0' FROM names ORDER BY random();
    INSERT INTO index_state (package_id, generation, published_generation) SELECT id, 1, 1 FROM packages;
    INSERT INTO package_versions (package_id, version, cksum, manifest, published_by)
    SELECT id, '0.1.0', repeat('0', 64), jsonb_build_object(
               'name', name, 'description', 'A package that does ' || name || ' things, and does them well.',
               'docs', repeat('How to use it. ', 30), 'modules', jsonb_build_array('a', 'b'),
               'meta', jsonb_build_object('x07c_compat', '>=0.1.111 <0.3.0')), created_by
    FROM packages;
    INSERT INTO package_listings
    SELECT p.id, p.name, '0.1.0', false, manifest ->> 'description', 2, '{binding:s3}', '{}', NULL
    FROM packages p JOIN package_versions v ON v.package_id = p.id;
    INSERT INTO search_names SELECT name, random() < 0.05 FROM package_listings
"""

PLAIN_FROM = """
    FROM packages p LEFT JOIN package_versions v ON v.package_id = p.id AND v.version = p.latest_version
    WHERE p.name LIKE $1 AND (NOT $2 OR v.scale_tested)
"""
PLAIN_COUNT = f"SELECT count(*) {PLAIN_FROM}"
PLAIN_PAGE = f"SELECT p.name, p.latest_version, v.manifest {PLAIN_FROM} ORDER BY p.name LIMIT $3 OFFSET $4"


def package_names(count: int) -> list[str]:
    """Names like those of the deployed registry, the same in each run."""
    chance, names = random.Random(7), set[str]()
    while len(names) < count:
        body = "-".join(chance.choice(WORDS) for _ in range(chance.choice((1, 2, 2, 3))))
        number = str(chance.randrange(1000)) if chance.random() < 0.5 else ""
        prefix = chance.choice(("ext-", "ext-", "x07-", "", "", "ext-db-"))
        names.add(f"{prefix}{body}{number}{chance.choice(('-rs', '-c', '', ''))}")
    return sorted(names)


def main() -> None:
    """Print the table."""
    asyncio.run(_measure())


async def _measure() -> None:
    names = package_names(PACKAGES)
    with (
        tempfile.TemporaryDirectory(prefix="x07-bench-") as directory,
        open_home(Path(directory) / "home") as home,
    ):
        postgres = EmbeddedPostgres(home, durable=False)
        await postgres.start()
        try:
            await migrate(Settings(database_url=postgres.url))
            connection = await asyncpg.connect(postgres.url)
            await fill(connection, names)
            with _serving(postgres.url, Path(directory)) as client:
                rows = [await _row(client, connection, case) for case in CASES]
                rows.append(_row_of_parts(client, names))
            await connection.close()
        finally:
            await postgres.stop()
    print_table(
        f"a search among {PACKAGES:,} packages, ms; aim: p95 under {AIM_MS}",
        "search",
        ["query", "found", "p50", "p95", "LIKE p50", "LIKE p95"],
        rows,
        [
            "by HTTP, one at a time, the write API in a process of its own",
            "LIKE: what it costs without lists of our own: a count and a page of packages with manifests,",
            "  by name without ranking, asked of Postgres directly",
            f"parts: {QUERIES:,} beginnings and parts of names, one to eight characters, each once",
        ],
    )


async def fill(connection: asyncpg.Connection[Any], names: list[str]) -> None:
    """Insert packages as if a worker had published them."""
    await connection.execute("CREATE TEMPORARY TABLE names (name text)")
    await connection.copy_records_to_table("names", records=[(name,) for name in names])
    await connection.execute(FILL)
    await connection.execute("VACUUM ANALYZE")


@contextmanager
def _serving(database_url: str, directory: Path) -> Iterator[Client]:
    """A connection to a write API on this database."""
    address = f"127.0.0.1:{free_port()}"
    variables = environment(
        X07_REGISTRY_DATABASE_URL=database_url, X07_REGISTRY_DATA_DIR=str(directory / "tree")
    )
    with (directory / "write.log").open("wb") as log:
        process = subprocess.Popen(
            [*COMMAND, "serve", "write", "--bind", address], stdout=log, stderr=log, env=variables
        )
    try:
        client = answering(address, "/healthz", process)
        yield client
        client.close()
    finally:
        stop(process)


async def _row(client: Client, connection: asyncpg.Connection[Any], case: Case) -> list[str]:
    """One search, with our statement and the plain one."""
    answer = msgspec.json.decode(client.require("GET", case.path)[1])
    ours = timed([lambda: client.require("GET", case.path)] * REPEATS)

    async def plain() -> None:
        pattern = f"%{case.q}%"
        await connection.fetchval(PLAIN_COUNT, pattern, case.scale_tested)
        await connection.fetch(PLAIN_PAGE, pattern, case.scale_tested, case.limit, case.offset)

    beside = await _timed(plain)
    return [case.label, f"{answer['total']:,}", *_columns(ours), *_columns(beside)]


def _row_of_parts(client: Client, names: list[str]) -> list[str]:
    """Searches that people type, each query once."""
    chance = random.Random(3)
    paths = []
    for _ in range(QUERIES):
        name = chance.choice(names)
        start = chance.choice((0, chance.randrange(len(name))))
        part = name[start : start + chance.randint(1, 8)]
        paths.append(Case(part, limit=chance.choice((20, 100))).path)
    ours = timed([lambda path=path: client.require("GET", path) for path in paths])  # type: ignore[misc]
    return ["parts of names", "", *_columns(ours), "", ""]


def _columns(times: Times) -> list[str]:
    return [f"{times.p50_ms:.1f}", f"{times.p95_ms:.1f}"]


async def _timed(do: Callable[[], Awaitable[None]]) -> Times:
    """Do it REPEATS times, after one run that is not measured."""
    await do()
    each: list[float] = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        await do()
        each.append(time.perf_counter() - start)
    return Times(each, sum(each))


if __name__ == "__main__":
    PACKAGES = int(sys.argv[1]) if sys.argv[1:] else PACKAGES
    main()
