"""Interrupted runs, unreliable origins, origins without a log, and mirrors of some packages."""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator
from email.utils import formatdate
from pathlib import Path

import pytest
import pytest_asyncio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deploy.cli.progress import PlainWalk
from indexer.upkeep.fetch import Fetched
from indexer.upkeep.web import Answer, Unchanged, Web
from tests.archives import hello_archive
from tests.conftest import SIGNING, MakeSettings
from tests.deploy.forked_commands import Forked, run
from tests.fault_proxy import Answer as FaultyAnswer
from tests.fault_proxy import Cut, FaultProxy
from tests.mirror.conftest import publish_versions
from tests.mirror.mirrors import mirror, running_at_its_base, tree_of
from tests.stack import Registry, eventually, serving


@pytest.fixture
def storage_settings(tmp_path: Path) -> dict[str, object]:
    """A directory; a mirror does not depend on the origin's storage."""
    return {"storage": "fs", "data_dir": tmp_path / "tree"}


@pytest_asyncio.fixture
async def web() -> AsyncIterator[Web]:
    """A client without a rate limit."""
    async with Web.open() as client:
        yield client


@pytest.mark.timeout(180)
async def test_a_run_that_is_killed_is_gone_on_with(origin: Registry, tmp_path: Path) -> None:
    """Existing files are not requested again, the result is the same, and nothing is left over."""
    whole, made = tmp_path / "whole", tmp_path / "mirror"
    status, first = await mirror(origin.url, whole)
    assert status == 0
    slow = Forked(
        ["mirror", origin.url, str(made), "--rate", "8", "--jobs", "1"], {}, tmp_path / "killed.log"
    )
    await eventually(lambda: _has_an_archive(made))
    await slow.kill()
    assert not (made / "log/checkpoint").exists()
    status, second = await mirror(origin.url, made)
    assert (status, second["wrong"]) == (0, 0)
    assert second["requests"] < first["requests"]
    differing = {"index/config.json"}
    mine, theirs = tree_of(made), tree_of(whole)
    assert {path for path in mine.keys() | theirs if mine.get(path) != theirs.get(path)} == differing
    assert sorted(path.name for path in made.iterdir()) == [".x07-mirror", "dl", "index", "log"]


async def _has_an_archive(made: Path) -> bool:
    return any(made.glob("dl/*/*/download"))


@pytest.mark.timeout(180)
async def test_an_origin_that_falters_is_asked_again(origin: Registry, tmp_path: Path) -> None:
    """Some answers break off, others ask to wait."""
    proxy = FaultProxy.before(origin.url)
    async with proxy.running():
        url = f"http://127.0.0.1:{proxy.port}"
        for fault in (Cut(300), FaultyAnswer(503)):
            proxy.inject(fault, times=3)
            made = tmp_path / type(fault).__name__
            status, report = await mirror(url, made, "--jobs", "2")
            assert (status, report["wrong"]) == (0, 0), report
            assert proxy.strikes == 3


@pytest.mark.timeout(120)
async def test_some_packages_can_be_mirrored_and_others_later(origin: Registry, tmp_path: Path) -> None:
    """Their catalog and the whole log are mirrored; later runs keep the patterns until others are given.

    A package that matches no more would be shown outdated for ever, so it is shown no more.
    """
    made = tmp_path / "mirror"

    async def mirrored(*options: str) -> list[str]:
        status, report = await mirror(origin.url, made, *options)
        assert (status, report["wrong"], report["size"]) == (0, 0, 5)
        catalog = json.loads((made / "index/catalog.json").read_text())
        names = [package["name"] for package in catalog["packages"]]
        assert names == sorted(path.parent.name for path in made.glob("dl/*/package"))
        assert names == sorted(path.name for path in made.glob("index/*/*/*"))
        return names

    assert await mirrored("--packages", "hello", "--packages", "o*") == ["hello", "other"]
    assert await mirrored() == ["hello", "other"]
    (made / "tmp").mkdir()
    (made / "tmp/mine").touch()
    assert await mirrored("--packages", "*") == ["hello", "hello-world", "other"]
    assert [path.name for path in (made / "tmp").iterdir()] == ["mine"], "somebody else's file is gone"
    assert await mirrored("--packages", "hello") == ["hello"]
    status, report = await mirror(origin.url, made, "--packages", "*")
    assert (status, report["kept"]) == (0, 2), "archives were copied again"


@pytest.mark.timeout(120)
async def test_an_origin_without_a_log_is_mirrored_and_said_to_be_unverified(
    make_settings: MakeSettings, tmp_path: Path
) -> None:
    """The catalog lists the packages; archives are checked nevertheless."""
    made = tmp_path / "mirror"
    without = {"log_key_b64": None, "log_origin": None, **SIGNING}
    async with running_at_its_base(make_settings, read_ttl_seconds=0, **without) as registry:
        await publish_versions(registry)
        status, report = await mirror(registry.url, made)
        assert (status, report["verified"], report["wrong"]) == (0, False, 0), report
        files = tree_of(made)
        assert files["dl/hello/0.1.0/download"] == hello_archive("hello", "0.1.0")
        assert b'"log"' not in files["index/config.json"]
        assert {path for path in files if path.startswith("index/")} == {
            "index/catalog.json",
            "index/config.json",
            "index/he/ll/hello",
            "index/he/ll/hello-world",
            "index/ot/he/other",
        }
        status, report = await mirror(registry.url, made)
        assert (status, report["files"], report["requests"]) == (0, 0, 5)
        bob = await registry.add_publisher("bob")
        assert (await registry.publish(hello_archive("fourth"), bob)).status_code == 200
        await registry.until_in_catalog("fourth", "0.1.0")
        assert (await mirror(registry.url, made))[0] == 0
        assert "dl/fourth/0.1.0/download" in tree_of(made)


async def test_what_is_no_address_and_what_is_no_mirror_are_refused(origin: Registry) -> None:
    """The refusal comes before any request or write."""
    tree = origin.settings.data_dir
    for arguments, told in (
        (["ftp://registry.example", "x"], "must be an absolute http:// or https:// URL"),
        ([origin.url, str(tree)], "is the tree of a registry"),
        ([origin.url, str(tree / "index/x")], f"{tree} is the tree of a registry"),
        ([origin.url, ""], "Invalid value for 'DIR': it is empty"),
        ([origin.url, __file__], f"{__file__} is a file; it must be a directory"),
        ([origin.url, "x", "--vkey", ""], "'' is no verifier key; one is written NAME+ID+BASE64"),
        ([origin.url, "x", "--follow", "--deep"], "give either --follow or --deep"),
    ):
        answer = run("mirror", *arguments)
        assert answer.returncode == 2
        assert told in answer.stderr


def test_progress_tells_a_rate_and_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a terminal, a line is printed from time to time."""
    monkeypatch.setattr("deploy.cli.progress.PLAIN_PAUSE_S", 0.0)
    walk = PlainWalk()
    walk.begin("packages", 1000)
    walk.advance(10)
    assert re.fullmatch(r"packages: 10 of 1000, \d+/s, \d+ s left\n", capsys.readouterr().err)
    walk.begin("keys")
    walk.advance()
    assert re.fullmatch(r"keys: 1, \d+/s\n", capsys.readouterr().err)


def answering(*answers: Response) -> tuple[Starlette, list[tuple[float, Request]]]:
    """A server that gives these answers in turn, and the requests that it received."""
    left, asked = list(answers), list[tuple[float, Request]]()

    async def answer(request: Request) -> Response:
        asked.append((time.monotonic(), request))
        return left.pop(0) if len(left) > 1 else left[0]

    return Starlette(routes=[Route("/{path:path}", answer)]), asked


async def test_retry_after_is_obeyed_by_every_request(web: Web) -> None:
    """This includes requests that begin meanwhile."""
    app, asked = answering(Response(status_code=429, headers={"retry-after": "1"}), Response(b"x"))
    async with serving(app) as url:
        first = await web.get(f"{url}/a")
        assert isinstance(first, Answer)
        assert asked[1][0] - asked[0][0] >= 1


async def test_a_limit_of_requests_a_second_is_kept() -> None:
    """Twenty requests start at once, but are sent one per 50 ms."""
    app, asked = answering(Response(b"x"))
    async with serving(app) as url, Web.open(20, 20) as web:
        began = time.monotonic()
        for _ in range(5):
            await web.get(f"{url}/a")
        assert time.monotonic() - began >= 4 / 20
        assert len(asked) == web.requests == 5


async def test_what_is_held_is_asked_for_with_its_etag(web: Web) -> None:
    """A 304 means that it is unchanged; a 404 means that there is no file, and is not retried."""
    app, asked = answering(Response(status_code=304), Response(status_code=404))
    async with serving(app) as url:
        assert isinstance(await web.get(f"{url}/a", etag='"v1"'), Unchanged)
        assert asked[0][1].headers["if-none-match"] == '"v1"'
        assert await web.get(f"{url}/b") is None
        assert len(asked) == 2


@pytest.mark.parametrize(("age_s", "etag"), [(0, None), (10, '"v1"'), (None, '"v1"')])
async def test_an_etag_of_a_file_that_has_just_changed_is_not_remembered(
    web: Web, tmp_path: Path, age_s: float | None, etag: str | None
) -> None:
    """nginx makes it of the second and the size; another change in the same second would not be seen."""
    headers = {"etag": '"v1"'}
    if age_s is not None:
        headers["last-modified"] = formatdate(time.time() - age_s, usegmt=True)
    app, _ = answering(Response(b"x", headers=headers))
    async with serving(app) as url:
        answer = await web.get(f"{url}/a")
        fetched = await web.download(f"{url}/a", tmp_path / "a")
    assert isinstance(answer, Answer)
    assert isinstance(fetched, Fetched)
    assert answer.etag == fetched.etag == etag
