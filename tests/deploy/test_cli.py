"""The command line: help, refusals, and tiers as separate processes."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import tomllib
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from api.write.endpoint import Scope
from deploy.cli.token import SCOPES
from tests.deploy.forked_commands import run
from tests.deploy.processes import COMMAND, DEADLINE_S, environment

ROOT = Path(__file__).parents[2]
MISSPELT = {"X07_REGISTRY_PUBLIC_BAES": "https://secret.example"}


def test_help_explains_every_command() -> None:
    """New users find the commands without the documentation."""
    answer = run("--help")
    assert answer.returncode == 0
    assert all(command in answer.stdout for command in ("up", "serve", "worker", "doctor", "package"))


def test_wrong_settings_are_told_in_one_line() -> None:
    """The message names the variable; there is no traceback; the status is 2."""
    answer = run("serve", "read", X07_REGISTRY_STORAGE="ftp")
    assert answer.returncode == 2
    assert answer.stderr == 'x07-registry: X07_REGISTRY_STORAGE is "ftp"; allowed: fs, filesystem, s3\n'


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_misspelt_variable_is_told_with_the_nearest_name(log_format: str, tmp_path: Path) -> None:
    """It would have no effect, and nothing else would report it. The command still runs."""
    asked = {"X07_REGISTRY_LOG_LEVEL": "info", "X07_REGISTRY_LOG_FORMAT": log_format}
    first, *_, last = _refused_by_no_database("user", "list", nowhere=tmp_path, **MISSPELT, **asked)
    for word in ("warning", "unknown_variable", "X07_REGISTRY_PUBLIC_BAES", "X07_REGISTRY_PUBLIC_BASE"):
        assert word in first
    assert last.startswith("x07-registry: database")


@pytest.mark.parametrize("command", ["user list", "migrate", "verify", "restore README.md"])
def test_a_command_that_fails_says_so_in_sentences_alone(command: str, tmp_path: Path) -> None:
    """Lines of a log come only if X07_REGISTRY_LOG_LEVEL asks for them."""
    told = _refused_by_no_database(*command.split(), nowhere=tmp_path, **MISSPELT)
    assert told[0] == (
        "x07-registry: X07_REGISTRY_PUBLIC_BAES is no setting, did you mean X07_REGISTRY_PUBLIC_BASE?"
    )
    assert [line.partition(": ")[0] for line in told] == ["x07-registry"] * 2


def _refused_by_no_database(*command: str, nowhere: Path, **variables: str) -> list[str]:
    """The lines on stderr of a command whose database does not answer. They omit its URL and all values."""
    answer = run(*command, X07_REGISTRY_DATABASE_URL=f"postgres://x:secret@/x?host={nowhere}", **variables)
    assert answer.returncode == 1
    assert "secret" not in answer.stderr
    return answer.stderr.splitlines()


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("serve rite", "'kind': 'rite' is not one of 'write', 'read', 'all'."),
        ("serve read --workers 0", "'--workers': \"0\"; allowed: greater than or equal to 1"),
        ("gc --older-than x", "'--older-than': \"x\"; allowed: a valid number"),
        ("token revoke x", "'ID': \"x\"; allowed: a valid UUID"),
        ("audit --since now", "'--since': write a day or a time: 2027-01-31, or 2027-01-31T00:00:00Z"),
    ],
)
def test_a_wrong_value_is_told_in_our_words(command: str, told: str) -> None:
    """The library that reads the values has words of its own, such as "Value error"."""
    answer = run(*command.split())
    assert answer.returncode == 2
    assert answer.stderr.splitlines()[-1] == f"Error: Invalid value for {told}"


def test_an_address_in_use_is_told_in_one_line() -> None:
    """The message says what to change."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        answer = run("serve", "read", "--bind", address)
    assert (answer.returncode, answer.stderr) == (
        1,
        f"x07-registry: cannot listen on {address}: Address already in use; "
        "name another in X07_REGISTRY_BIND (`X07_REGISTRY_BIND=127.0.0.1:8090 make run`) or --bind\n",
    )


@pytest.mark.parametrize("command", [("up", "--data-dir", "/proc/x"), ("export", "/proc/x")], ids=" ".join)
def test_a_directory_that_cannot_be_made_is_told_in_one_line(command: tuple[str, ...]) -> None:
    """No traceback; the message has the path."""
    answer = run(*command)
    assert (answer.returncode, answer.stderr) == (1, "x07-registry: /proc/x: No such file or directory\n")


def test_a_file_in_a_directory_s_place_is_named(tmp_path: Path) -> None:
    """The refusal says what is there and what is needed, whether an option or a variable names it."""
    file = tmp_path / "file"
    file.touch()
    for command in (("up",), ("doctor",), ("serve", "read")):
        answer = run(*command, "--data-dir", str(file))
        assert answer.returncode == 2, command
        told = f"Error: Invalid value for '--data-dir': {file} is a file; it must be a directory\n"
        assert answer.stderr.endswith(told), command
    for path in (file, file / "data"):
        answer = run("up", X07_REGISTRY_DATA_DIR=str(path))
        told = f"x07-registry: {file} is a file; it must be a directory\n"
        assert (answer.returncode, answer.stderr) == (1, told)


def test_one_number_names_the_release_everywhere() -> None:
    """The command line, the API's document and pyproject.toml all have it."""
    number = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert run("--version").stdout == f"x07-registry {number}\n"
    assert json.loads((ROOT / "openapi/openapi.json").read_text())["info"]["version"] == number


@pytest.mark.parametrize(
    ("handle", "scopes", "message"),
    [("Alice", "publish", "lower-case"), ("alice", "publish,fly", '"fly"'), ("alice", ",", "no scope")],
)
def test_a_token_needs_a_handle_and_known_scopes(handle: str, scopes: str, message: str) -> None:
    """The refusal comes before anything is created."""
    answer = run("token", "create", "--handle", handle, "--scopes", scopes)
    assert answer.returncode == 2
    assert message in answer.stderr


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [("--expires", "soon", "write 90d"), ("--packages", "acme-*,*", "names or prefixes")],
)
def test_a_token_s_limits_are_checked_before_anything_is_made(option: str, value: str, message: str) -> None:
    """The refusal names the accepted forms."""
    answer = run("token", "create", "--handle", "alice", "--scopes", "publish", option, value)
    assert answer.returncode == 2
    assert message in answer.stderr


def test_the_scopes_that_help_names_are_those_that_exist() -> None:
    """Help lists them without importing the write API."""
    assert set(SCOPES) == set(Scope)


async def test_migrate_and_token_create_print_what_scripts_need(
    new_database: Callable[[], Awaitable[str]],
) -> None:
    """stdout has the token and nothing else."""
    database = {"X07_REGISTRY_DATABASE_URL": await new_database()}
    assert run("migrate", **database).returncode == 0
    answer = run("token", "create", "--handle", "bob", "--scopes", "publish", "--label", "ci", **database)
    assert answer.returncode == 0
    assert answer.stdout.startswith("x07t_")
    assert len(answer.stdout.splitlines()) == 1
    limits = ("--expires", "90d", "--packages", "acme-*")
    answer = run("token", "create", "--handle", "bob", "--scopes", "publish", *limits, **database)
    assert answer.returncode == 0, answer.stderr
    newest = run("token", "list", **database).stdout.splitlines()[1]
    assert "ends 20" in newest
    assert "only acme-*" in newest


def test_the_read_service_runs_alone_and_stops_on_a_signal(tmp_path: Path) -> None:
    """It needs neither database nor queue, and with port 0 it prints its address."""
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
    """The script of `--install-completion` calls the command like this."""
    for words, expected in (("x07-registry pack", "package"), ("x07-registry audit --act", "--actor")):
        index = str(len(words.split()) - 1)
        variables = {"_X07_REGISTRY_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": index}
        answer = run(**variables)
        assert answer.returncode == 0, answer.stderr
        assert expected in answer.stdout.split()
