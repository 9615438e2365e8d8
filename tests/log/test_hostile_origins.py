"""Origins that want to deceive, fill or stop their readers: each command says what is wrong, and ends."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from indexer.log.checkpoint import Checkpoint
from indexer.log.files import bundles_of
from indexer.log.note import NoteSigner
from indexer.log.tiles import Edge, parse_bundle
from indexer.log.tree import leaf_hash
from indexer.mirror import run as mirroring
from indexer.upkeep import web
from tests.bench.mirror_origin import BenchOrigin
from tests.deploy import forked_commands
from tests.deploy.forked_commands import Answer
from tests.log.patience import wait_briefly
from tests.stack import serving

SIGNER = NoteSigner("bench.example", bytes(range(32)))
VKEY = str(SIGNER.verifier)
INDEX = "index/he/ll/hello"
ENTRIES = 6
BUNDLE = f"log/tile/entries/000.p/{ENTRIES}"
DEEP = b"[" * 100_000
MANY_BYTES = 1 << 20


def patience() -> None:
    """Let the commands wait briefly, and give up answers that a test can send."""
    wait_briefly()
    web.MAX_DOCUMENT_BYTES = web.MAX_DOWNLOAD_BYTES = MANY_BYTES
    web.PATIENCE_S = 1.0
    web.ATTEMPTS = 1


def hurry() -> None:
    """Ask many times within a second."""
    patience()
    mirroring.PAUSE_S = 0.02


run = partial(forked_commands.run, prepare=patience)


@dataclass
class Origin:
    """Files below a root, of two packages of three versions. answers: instead of a file, by path."""

    root: Path
    url: str = ""
    answers: dict[str, Callable[[Request], Awaitable[Response]]] = field(default_factory=dict)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Origin]:
        """Serve it."""
        async with serving(Starlette(routes=[Route("/{path:path}", self._answer)])) as self.url:
            BenchOrigin(self.root, self.url, 100).publish(["hello", "other"])
            yield self

    async def _answer(self, request: Request) -> Response:
        path = request.path_params["path"]
        if path in self.answers:
            return await self.answers[path](request)
        file = self.root / path
        return Response(file.read_bytes()) if file.is_file() else Response(status_code=404)

    def read(self, path: str) -> bytes:
        """A file."""
        return (self.root / path).read_bytes()

    def write(self, path: str, body: bytes) -> None:
        """Replace a file."""
        (self.root / path).write_bytes(body)

    def sign(self, entries: list[bytes], size: int | None = None, origin: str = "bench.example") -> None:
        """Replace the log by another one, signed by its key. size: that the checkpoint claims."""
        edge, tiles = Edge().grow([leaf_hash(entry) for entry in entries])
        for tile, body in [*bundles_of(0, entries), *tiles]:
            self.write(f"log/{tile.path}", body)
        head = Checkpoint(origin, edge.size if size is None else size, edge.root())
        self.write("log/checkpoint", SIGNER.sign(head.text()))

    def add(self, entry: bytes) -> None:
        """Sign one more entry."""
        self.sign([*parse_bundle(self.read(BUNDLE)), entry])


Change = Callable[[Origin], None]


def show_another_line_first(origin: Origin) -> None:
    """A client may believe the first of two lines."""
    body = origin.read(INDEX)
    false = body.splitlines(keepends=True)[0].replace(b'"cksum":"', b'"cksum":"0')
    origin.write(INDEX, false + body)


def show_a_line_twice(origin: Origin) -> None:
    """The same line."""
    body = origin.read(INDEX)
    origin.write(INDEX, body + body.splitlines(keepends=True)[0])


def break_a_line_with_cr(origin: Origin) -> None:
    """Only LF ends a line."""
    origin.write(INDEX, origin.read(INDEX).replace(b"}\n{", b"}\r{", 1))


def nest_a_line_deeply(origin: Origin) -> None:
    """Deeper than a parser recurses."""
    origin.write(INDEX, origin.read(INDEX) + b'{"version":"9.0.0","x":' + DEEP + b"\n")


def show_a_version_of_bytes(origin: Origin) -> None:
    """Text that is not UTF-8."""
    origin.write(INDEX, origin.read(INDEX) + b'{"version":"\xff"}\n')


def nest_config_deeply(origin: Origin) -> None:
    """The first file that is read."""
    origin.write("index/config.json", origin.read("index/config.json")[:-1] + b',"x":' + DEEP)


def nest_the_catalog_deeply(origin: Origin) -> None:
    """It is not part of the log."""
    origin.write("index/catalog.json", b'{"packages":[],"x":' + DEEP)


def name_another_key(origin: Origin) -> None:
    """Who takes the key from config.json would follow another log."""
    config = json.loads(origin.read("index/config.json"))
    config["log"]["vkey"] = str(NoteSigner("bench.example", bytes(32)).verifier)
    origin.write("index/config.json", json.dumps(config).encode())


def name_no_log(origin: Origin) -> None:
    """Who takes the key from config.json would check nothing."""
    config = json.loads(origin.read("index/config.json"))
    del config["log"]
    origin.write("index/config.json", json.dumps(config).encode())


def claim_any_size(origin: Origin) -> None:
    """The owner of the key signs a size whose tiles nobody could list."""
    origin.sign(parse_bundle(origin.read(BUNDLE)), size=10**18)


def sign_for_another_origin(origin: Origin) -> None:
    """Two logs with one key."""
    origin.sign(parse_bundle(origin.read(BUNDLE)), origin="other.example")


def log_a_path(origin: Origin) -> None:
    """A name becomes a path."""
    origin.add(b'{"name":"../../x","version":"1.0.0","line":{"name":"../../x","version":"1.0.0"}}')


def log_two_lines_in_one(origin: Origin) -> None:
    """White space in an entry would become a second line of the index, and of a monitor's output."""
    line = b'{"name":"other","version":"9.0.0","x":[\n{"name":"other","version":"9.9.9"}\n]}'
    origin.add(b'{"name":"other","version":"9.0.0","line":' + line + b"}")


def log_deeply(origin: Origin) -> None:
    """An entry that no parser reads."""
    origin.add(b'{"name":"other","version":"9.0.0","line":' + DEEP[:30_000] + b"}")


def log_bytes(origin: Origin) -> None:
    """An entry that is not UTF-8."""
    origin.add(b'{"name":"other","version":"9.0.0","line":{"name":"other","version":"9.0.0","x":"\xff"}}')


def swap_a_partial_tile(origin: Origin) -> None:
    """The tile of another tree of the same size."""
    _, tiles = Edge().grow([leaf_hash(bytes([number])) for number in range(ENTRIES)])
    origin.write(f"log/tile/0/000.p/{ENTRIES}", tiles[0][1])


def cut_a_tile_short(origin: Origin) -> None:
    """One byte is missing."""
    origin.write(f"log/tile/0/000.p/{ENTRIES}", origin.read(f"log/tile/0/000.p/{ENTRIES}")[:-1])


def make_a_tile_longer(origin: Origin) -> None:
    """A reader might take a hash that no entry has."""
    origin.write(f"log/tile/0/000.p/{ENTRIES}", origin.read(f"log/tile/0/000.p/{ENTRIES}") + bytes(32))


def make_a_bundle_longer(origin: Origin) -> None:
    """A reader might take an entry that was never signed."""
    origin.write(BUNDLE, origin.read(BUNDLE) + b"\0\2{}")


def cut_a_bundle_short(origin: Origin) -> None:
    """One byte is missing."""
    origin.write(BUNDLE, origin.read(BUNDLE)[:-1])


def lead_elsewhere(origin: Origin) -> None:
    """A document of another host, which only the victim reaches."""
    elsewhere = origin.url.replace("127.0.0.1", "localhost")

    async def redirect(_: Request) -> Response:
        return RedirectResponse(f"{elsewhere}/index/ot/he/other")

    origin.answers[INDEX] = redirect


def go_on_and_on(origin: Origin, path: str = INDEX) -> None:
    """More bytes than any document has, without a length."""

    async def too_many_bytes() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield bytes(MANY_BYTES // 16)

    async def answer(_: Request) -> Response:
        return StreamingResponse(too_many_bytes())

    origin.answers[path] = answer


def drip(origin: Origin) -> None:
    """A byte from time to time."""

    async def one_by_one() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" "
            await asyncio.sleep(0.05)

    async def answer(_: Request) -> Response:
        return StreamingResponse(one_by_one())

    origin.answers[INDEX] = answer


def compress_twice(origin: Origin) -> None:
    """64 KiB on the wire would be gigabytes in memory."""

    async def answer(_: Request) -> Response:
        body = gzip.compress(gzip.compress(bytes(4 * MANY_BYTES)))
        return Response(body, headers={"content-encoding": "gzip, gzip"})

    origin.answers[INDEX] = answer


def compress_much(origin: Origin) -> None:
    """A few KiB on the wire."""

    async def answer(_: Request) -> Response:
        return Response(gzip.compress(bytes(4 * MANY_BYTES)), headers={"content-encoding": "gzip"})

    origin.answers[INDEX] = answer


# The change, and what `log verify`, `log monitor` and `mirror` say of it.
CHANGES: list[tuple[Change, str, str, str]] = [
    (show_another_line_first, *["has 2 lines of it"] * 2, "it has two lines of 0.1.0"),
    (show_a_line_twice, *["has 2 lines of it"] * 2, "it has two lines of 0.1.0"),
    (break_a_line_with_cr, *["a line that cannot be read"] * 2, "it cannot be read"),
    (nest_a_line_deeply, *["a line that cannot be read"] * 2, "it is nested too deeply"),
    (show_a_version_of_bytes, *["a line that cannot be read"] * 2, "it is not UTF-8"),
    (nest_config_deeply, *["config.json cannot be read"] * 3),
    (nest_the_catalog_deeply, *["catalog.json is not a catalog"] * 2, "catalog.json: it cannot be read"),
    (name_another_key, *["names another key of the log"] * 2, "config.json names another key"),
    (name_no_log, *["it names no log"] * 2, "config.json names no log"),
    (claim_any_size, *["is missing"] * 3),
    (sign_for_another_origin, *["the checkpoint is of other.example, not of bench.example"] * 3),
    (log_a_path, *["'../../x' is not a name"] * 2, "the entry of '../../x' '1.0.0' is no line"),
    (log_two_lines_in_one, *["has a line break, or is not UTF-8"] * 3),
    (log_deeply, *["it is nested too deeply"] * 3),
    (log_bytes, *["has a line break, or is not UTF-8"] * 3),
    (swap_a_partial_tile, *["its hashes are not those of the entries"] * 2, "does not follow from"),
    (cut_a_tile_short, *["has 191 bytes, not 192"] * 2, "does not follow from the entries"),
    (make_a_tile_longer, *["has 224 bytes, not 192"] * 2, "does not follow from the entries"),
    (make_a_bundle_longer, *["has 7 entries, not 6"] * 3),
    (cut_a_bundle_short, *["an entry bundle ends within an entry"] * 3),
    (lead_elsewhere, *["it is redirected to another host, localhost"] * 3),
    (go_on_and_on, *["it has more than 1048576 bytes"] * 3),
    (compress_twice, *["its content coding was not asked for"] * 3),
    (compress_much, *["it has more than 1048576 bytes"] * 3),
    (drip, *["bytes came in 1 s"] * 3),
]


@pytest.mark.parametrize(
    ("change", "verified", "monitored", "mirrored"), CHANGES, ids=lambda one: getattr(one, "__name__", "")
)
async def test_each_command_says_what_is_wrong_and_ends(
    tmp_path: Path, change: Change, verified: str, monitored: str, mirrored: str
) -> None:
    """The key is known from elsewhere; the exit status is 1, and nobody gets a trace of Python."""
    async with Origin(tmp_path / "tree").running() as origin:
        change(origin)
        made = tmp_path / "mirror"
        commands = (
            ("log", "verify", "--url", origin.url, "--vkey", VKEY),
            ("log", "monitor", origin.url, "--vkey", VKEY, "--state", str(tmp_path / "state"), "--once"),
            ("mirror", origin.url, str(made), "--vkey", VKEY),
        )
        answers: list[Answer] = await asyncio.gather(
            *(asyncio.to_thread(run, *command) for command in commands)
        )
    for answer, told in zip(answers, (verified, monitored, mirrored), strict=True):
        said = answer.stdout + answer.stderr
        assert (answer.returncode, told in said, "Traceback" in said) == (1, True, False), said[-2000:]
    index = made / INDEX
    assert not index.exists() or all(line in origin_lines(made) for line in index.read_bytes().splitlines())


def origin_lines(made: Path) -> set[bytes]:
    """The lines in the log of a mirror."""
    found = set[bytes]()
    for bundle in (made / "log/tile/entries").rglob("*.p/*"):
        for entry in parse_bundle(bundle.read_bytes()):
            found.add(entry.partition(b'"line":')[2][:-1])
    return found


async def test_one_package_that_cannot_be_read_keeps_no_other_from_a_mirror(tmp_path: Path) -> None:
    """However often it was asked for."""
    async with Origin(tmp_path / "tree").running() as origin:
        lead_elsewhere(origin)
        origin.answers["dl/hello/0.1.0/metadata"] = origin.answers.pop(INDEX)
        made = tmp_path / "mirror"
        answer = await asyncio.to_thread(
            forked_commands.run, "mirror", origin.url, str(made), "--json", prepare=hurry
        )
        assert (answer.returncode, json.loads(answer.stdout)["wrong"]) == (1, 1), answer.stdout
    assert (made / "index/ot/he/other").exists()


async def test_control_characters_of_an_origin_are_escaped(tmp_path: Path) -> None:
    """A version must not move the cursor of a terminal, or set its title."""
    async with Origin(tmp_path / "tree").running() as origin:
        origin.write(INDEX, origin.read(INDEX) + b'{"version":"\\u001b[2J"}\n')
        answer = await asyncio.to_thread(run, "log", "verify", "--url", origin.url, "--vkey", VKEY)
    assert "\\x1b[2J" in answer.stdout
    assert "\x1b" not in answer.stdout


async def test_an_archive_that_goes_on_and_on_is_given_up(tmp_path: Path) -> None:
    """The version is not shown, the rest is, and no file is left over."""
    async with Origin(tmp_path / "tree").running() as origin:
        go_on_and_on(origin, "dl/hello/0.1.0/download")
        made = tmp_path / "mirror"
        answer = await asyncio.to_thread(run, "mirror", origin.url, str(made))
    assert answer.returncode == 1
    assert "it has more than 1048576 bytes" in answer.stdout
    assert (made / "dl/other/0.1.0/download").exists()
    kept = {path.name for path in (made / ".x07-mirror").iterdir()}
    assert kept == {"catalog.json", "config.json", "state.json"}
