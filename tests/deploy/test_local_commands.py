"""Commands beside `x07-registry up`: each finds the registry that runs on this machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.archives import hello_archive
from tests.deploy.forked_commands import Answer, run
from tests.deploy.page_walk import Guide
from tests.deploy.processes import COMMAND, Up, environment

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def up() -> Iterator[Up]:
    """A registry that runs, with one package."""
    with tempfile.TemporaryDirectory(prefix="x07-test-") as directory:
        running = Up(Path(directory) / "data")
        request = urllib.request.Request(  # noqa: S310 - the scheme is http
            f"{running.url}/v1/packages/publish",
            hello_archive(),
            {"authorization": f"Bearer {running.token}", "content-type": "application/octet-stream"},
        )
        urllib.request.urlopen(request, timeout=60).close()  # noqa: S310
        yield running
        if running.process.poll() is None:
            running.stop()


def command(up: Up, *arguments: str, **variables: str) -> Answer:
    """Run a command where `data` is the data directory."""
    return run(*arguments, prepare=partial(os.chdir, up.data_dir.parent), **variables)


def test_what_leads_to_the_registry_is_its_owners_alone(up: Up) -> None:
    """The file contains the signing key."""
    assert (up.data_dir / "registry.env").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "arguments",
    [
        ("user", "create", "alice"),
        ("user", "list"),
        ("token", "create", "--handle", "ci", "--scopes", "publish"),
        ("token", "list"),
        ("owner", "list", "hello"),
        ("audit",),
        ("verify", "--deep"),
        ("repair",),
        ("gc",),
        ("reindex", "hello"),
        ("export", "mirror"),
        ("backup", "registry.dump"),
        ("backfill-signatures",),
        ("log", "verify"),
        ("doctor",),
    ],
    ids=" ".join,
)
def test_a_command_finds_the_registry_that_runs(up: Up, arguments: tuple[str, ...]) -> None:
    """It prints that it uses it."""
    answer = command(up, *arguments)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert answer.stderr.splitlines()[0] == f"x07-registry: using the registry that runs in {up.data_dir}"


def test_the_doctor_finds_nothing_to_mend(up: Up) -> None:
    """Database, Redis, keys and address are those of the running registry."""
    answer = command(up, "doctor", "--json")
    checks = json.loads(answer.stdout)["checks"]
    assert {check["check"]: check["detail"] for check in checks if check["status"] == "failed"} == {}
    assert {check["check"] for check in checks if check["status"] == "off"} == {"lint command", "github"}


def test_the_option_and_the_setting_name_the_directory(up: Up, tmp_path: Path) -> None:
    """This works from any other directory."""
    for options, variables in (
        (("--data-dir", str(up.data_dir)), {}),
        ((), {"X07_REGISTRY_DATA_DIR": str(up.data_dir)}),
    ):
        answer = subprocess.run(
            [*COMMAND, "user", "list", *options],
            check=False,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment(PYTHONPATH=str(ROOT), **variables),
        )
        assert answer.returncode == 0, answer.stderr
        assert "_admin" in answer.stdout
    wrong = command(up, "user", "list", "--data-dir", str(tmp_path))
    assert (wrong.returncode, wrong.stderr) == (
        1,
        f"x07-registry: no registry of `x07-registry up` is in {tmp_path}\n",
    )


def test_an_environment_that_names_another_database_is_meant(up: Up) -> None:
    """The operator of a real registry may have a local one on the same machine."""
    answer = command(up, "user", "list", X07_REGISTRY_DATABASE_URL="postgres://127.0.0.1:1/real")
    assert answer.returncode == 1
    assert "uses the registry" not in answer.stderr
    assert "Connect call failed ('127.0.0.1', 1)" in answer.stderr.splitlines()[-1]


def test_one_that_does_not_run_is_named() -> None:
    """The message has the command that starts it."""
    with tempfile.TemporaryDirectory(prefix="x07-test-") as directory:
        stopped = Up(Path(directory) / "data")
        stopped.stop()
        answer = command(stopped, "user", "list")
        assert (answer.returncode, answer.stderr) == (
            1,
            f"x07-registry: the registry in {stopped.data_dir} does not run; "
            f"start it with `x07-registry up --data-dir {stopped.data_dir}`\n",
        )


async def test_a_backup_becomes_a_registry_again(up: Up, tmp_path: Path) -> None:
    """docs/backup.md, "Restore a registry that `up` runs": in a new data directory, with the old keys."""
    backup = tmp_path / "backup"
    backup.mkdir()
    for name in ("signing-key", "log-key", "token"):
        shutil.copy2(up.data_dir / name, backup)
    restored = up.data_dir.parent / "restored"
    places = {"/backup/": f"{backup}/", " restored": f" {restored}"}
    guide = Guide("backup.md", {"X07_REGISTRY_DATA_DIR": str(up.data_dir)}, tmp_path, places)
    assert {answer.returncode for answer in await guide.follow(guide.commands("Take one"))} == {0}
    guide.variables.clear()
    *prepare, start, rebuild, log, repair, verify = guide.commands("Restore a registry that `up` runs")
    assert {answer.returncode for answer in await guide.follow(prepare)} == {0}
    assert start == "x07-registry up --data-dir restored"
    again = Up(restored)
    try:
        answers = await guide.follow([rebuild, log, repair, verify])
        assert {answer.returncode for answer in answers} == {0}, answers
        assert answers[0].stdout.splitlines()[-1] == "1 archive came back; 0 in doubt"
        assert again.get("/index/he/ll/hello") == up.get("/index/he/ll/hello")
        assert again.answers("/v1/account", up.token)
    finally:
        again.stop()
