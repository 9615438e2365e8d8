"""The command line: help, refusals, and the tiers run apart."""

from __future__ import annotations

import signal
import socket
import subprocess
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from api.write.endpoint import Scope
from deploy.cli.token import SCOPES
from tests.deploy.processes import COMMAND, DEADLINE_S, environment


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        check=False,
        capture_output=True,
        text=True,
        env=environment(**variables),
        timeout=DEADLINE_S,
    )


def test_help_explains_every_command() -> None:
    """A newcomer finds the commands without the documentation."""
    answer = run("--help")
    assert answer.returncode == 0
    assert all(command in answer.stdout for command in ("up", "serve", "worker", "doctor", "package"))


def test_wrong_settings_are_told_in_one_line() -> None:
    """The message names the variable; there is no traceback; the status is 2."""
    answer = run("serve", "read", X07_REGISTRY_STORAGE="ftp")
    assert answer.returncode == 2
    assert answer.stderr == 'x07-registry: X07_REGISTRY_STORAGE is "ftp"; allowed: fs, filesystem, s3\n'


def test_an_address_in_use_is_told_in_one_line() -> None:
    """A person sees what to change."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        answer = run("serve", "read", "--bind", address)
    assert (answer.returncode, answer.stderr) == (
        1,
        f"x07-registry: cannot listen on {address}: Address already in use\n",
    )


def test_a_database_that_does_not_answer_is_told_in_one_line(tmp_path: Path) -> None:
    """Without the URL, which may hold a password."""
    answer = run("migrate", X07_REGISTRY_DATABASE_URL=f"postgres://x:secret@/x?host={tmp_path}")
    assert answer.returncode == 1
    assert answer.stderr.splitlines()[-1].startswith("x07-registry: ")
    assert "Traceback" not in answer.stderr
    assert "secret" not in answer.stderr


@pytest.mark.parametrize(
    ("handle", "scopes", "message"),
    [("Alice", "publish", "lower-case"), ("alice", "publish,fly", '"fly"'), ("alice", ",", "no scope")],
)
def test_a_token_needs_a_handle_and_known_scopes(handle: str, scopes: str, message: str) -> None:
    """A refusal comes before anything is made."""
    answer = run("token", "create", "--handle", handle, "--scopes", scopes)
    assert answer.returncode == 2
    assert message in answer.stderr


def test_the_scopes_that_help_names_are_those_that_exist() -> None:
    """Help knows them without importing the write API."""
    assert set(SCOPES) == set(Scope)


async def test_migrate_and_token_create_print_what_scripts_need(
    new_database: Callable[[], Awaitable[str]],
) -> None:
    """stdout holds the token and nothing else."""
    database = {"X07_REGISTRY_DATABASE_URL": await new_database()}
    assert run("migrate", **database).returncode == 0
    answer = run("token", "create", "--handle", "bob", "--scopes", "publish", "--label", "ci", **database)
    assert answer.returncode == 0
    assert answer.stdout.startswith("x07t_")
    assert len(answer.stdout.splitlines()) == 1


def test_the_read_service_runs_alone_and_stops_on_a_signal(tmp_path: Path) -> None:
    """It needs neither database nor queue; with port 0 it says where it listens."""
    with subprocess.Popen(
        [*COMMAND, "serve", "read", "--bind", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment(X07_REGISTRY_DATA_DIR=str(tmp_path)),
    ) as server:
        assert server.stdout is not None
        word, address = server.stdout.readline().split()
        with urllib.request.urlopen(f"http://{address}/healthz", timeout=DEADLINE_S) as answer:
            assert (word, answer.read()) == ("listening", b"ok")
        server.send_signal(signal.SIGTERM)
        assert server.wait(DEADLINE_S) == -signal.SIGTERM


def test_a_shell_completes_commands_and_options() -> None:
    """What `--install-completion` sets up asks the command like this."""
    for words, expected in (("x07-registry pack", "package"), ("x07-registry audit --act", "--actor")):
        index = str(len(words.split()) - 1)
        variables = {"_X07_REGISTRY_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": index}
        answer = run(**variables)
        assert answer.returncode == 0, answer.stderr
        assert expected in answer.stdout.split()
