"""Administration at the command line: the rules of the write API, and JSON output."""

from __future__ import annotations

import asyncio
import json
import subprocess
from typing import Any

import pytest

from tests.archives import hello_archive
from tests.deploy.commands import variables_of
from tests.deploy.forked_commands import Answer, run
from tests.deploy.processes import COMMAND, DEADLINE_S, environment
from tests.stack import Registry, bearer, eventually


class Operator:
    """The operator of a registry, at the command line."""

    def __init__(self, registry: Registry) -> None:
        self.variables = variables_of(registry.settings)

    async def run(self, *arguments: str) -> Answer:
        """Run a command to its end."""
        return await asyncio.to_thread(run, *arguments, **self.variables)

    async def json(self, *arguments: str) -> list[dict[str, Any]]:
        """The output of a successful command with --json: one object per line."""
        answer = await self.run(*arguments, "--json")
        assert answer.returncode == 0, answer.stderr
        return [json.loads(line) for line in answer.stdout.splitlines()]

    async def refused(self, *arguments: str) -> str:
        """The last line on stderr of a command that was refused with exit status 1."""
        answer = await self.run(*arguments)
        assert (answer.returncode, answer.stdout) == (1, ""), answer
        return answer.stderr.splitlines()[-1]


@pytest.fixture
def operator(fs_registry: Registry) -> Operator:
    """The operator of the registry."""
    return Operator(fs_registry)


async def test_users_are_created_once_listed_and_shown(operator: Operator) -> None:
    """The first accounts of a deployment can be created without SQL."""
    assert (await operator.json("user", "create", "alice"))[0]["created"] is True
    assert (await operator.json("user", "create", "alice"))[0]["created"] is False
    assert [user["handle"] for user in await operator.json("user", "list")] == ["alice"]
    shown = (await operator.json("user", "show", "alice"))[0]
    assert (shown["created_via"], shown["tokens"], shown["packages"]) == ("bootstrap", 0, [])
    assert "alice" in (await operator.run("user", "list")).stdout
    assert await operator.refused("user", "show", "bob") == (
        'x07-registry: there is no user "bob" (X07REG_NOT_FOUND)'
    )


async def test_a_token_is_made_listed_and_revoked(operator: Operator, fs_registry: Registry) -> None:
    """The operator can revoke a lost token; its secret is in no list."""
    made = (await operator.json("token", "create", "--handle", "admin", "--scopes", "publish,admin"))[0]
    assert (await fs_registry.http.get("/v1/account", headers=bearer(made["token"]))).status_code == 200
    listed = await operator.json("token", "list", "--handle", "admin")
    assert [(row["handle"], row["scopes"], row["revoked_at"]) for row in listed] == [
        ("admin", ["admin", "publish"], None)
    ]
    assert await operator.json("token", "list", "--handle", "nobody") == []
    await operator.json("token", "revoke", listed[0]["id"])
    assert (await fs_registry.http.get("/v1/account", headers=bearer(made["token"]))).status_code == 401
    assert (await operator.json("token", "list"))[0]["revoked_at"] is not None
    assert "X07REG_NOT_FOUND" in await operator.refused(
        "token", "revoke", "00000000-0000-0000-0000-000000000000"
    )


@pytest.mark.parametrize("first", [("user", "create", "ci"), ()])
async def test_a_user_made_by_the_operator_may_publish(
    first: tuple[str, ...], operator: Operator, fs_registry: Registry
) -> None:
    """A build server has no GitHub account whose e-mail address could be verified."""
    assert fs_registry.settings.require_verified_email_for_publish
    if first:
        await operator.json(*first)
    made = (await operator.json("token", "create", "--handle", "ci", "--scopes", "publish"))[0]
    answer = await fs_registry.publish(hello_archive(), bearer(made["token"]))
    assert answer.status_code == 200, answer.text


async def test_what_users_write_moves_no_cursor(operator: Operator, fs_registry: Registry) -> None:
    """Otherwise a label could forge a line of the audit trail, or control the terminal."""
    headers = await fs_registry.add_publisher("alice", "publish", "token.manage")
    label = "ci\n2026-01-01T00:00:00Z  root  publish\x1b[2J\u202e\x9b1m ü"
    made = await fs_registry.http.post("/v1/tokens", json={"label": label}, headers=headers)
    assert made.status_code == 200, made.text
    for command, lines in (("token list", 3), ("audit", 2)):
        shown = (await operator.run(*command.split())).stdout
        assert r"ci\n2026-01-01T00:00:00Z  root  publish\x1b[2J\u202e\x9b1m ü" in shown
        assert len(shown.splitlines()) == lines


async def test_owners_are_added_and_removed_by_the_rules_of_the_api(
    operator: Operator, fs_registry: Registry
) -> None:
    """The last owner stays, unknown users are refused, and readers see an official owner."""
    await fs_registry.publish(hello_archive(), await fs_registry.add_publisher("alice"))
    for handle in ("admin", "webodik"):
        await fs_registry.add_user(handle)
    assert (await operator.json("owner", "add", "hello", "webodik"))[0]["visible"] is True
    assert await operator.json("owner", "list", "hello") == [{"handle": "alice"}, {"handle": "webodik"}]
    catalog = await fs_registry.until_in_catalog("hello", "0.1.0")
    assert await eventually(lambda: _is_official(fs_registry)), catalog
    await operator.json("owner", "remove", "hello", "alice")
    assert "last owner" in await operator.refused("owner", "remove", "hello", "webodik")
    assert "user not found" in await operator.refused("owner", "add", "hello", "nobody")
    assert "not found" in await operator.refused("owner", "list", "nothing")
    assert "--by" in await operator.refused("owner", "add", "hello", "alice", "--by", "nobody")


async def test_changes_are_the_first_administrator_s_unless_another_user_is_named(
    operator: Operator, fs_registry: Registry
) -> None:
    """Whatever handle `up` gave its admin, `--by` is not needed every time."""
    await fs_registry.publish(hello_archive(), await fs_registry.add_publisher("alice"))
    await fs_registry.add_user("bob")
    assert 'no user "admin"' in await operator.refused("owner", "add", "hello", "bob")
    await operator.json("token", "create", "--handle", "_admin", "--scopes", "admin")
    await operator.json("owner", "add", "hello", "bob")
    (event,) = [one for one in await operator.json("audit") if one["action"] == "owner_added"]
    assert event["actor"] == "_admin"


async def _is_official(registry: Registry) -> bool:
    return bool((await registry.until_in_catalog("hello", "0.1.0"))["is_official"])


async def test_a_package_is_transferred_and_a_version_removed(
    operator: Operator, fs_registry: Registry
) -> None:
    """The removal asks for confirmation first, and the audit trail records both."""
    alice = await fs_registry.add_publisher("alice")
    for version in ("0.1.0", "0.2.0"):
        assert (await fs_registry.publish(hello_archive(version=version), alice)).status_code == 200
    for handle in ("admin", "bob"):
        await fs_registry.add_user(handle)
    await operator.json("package", "transfer", "hello", "bob", "--by", "alice")
    assert (await fs_registry.publish(hello_archive(version="0.3.0"), alice)).status_code == 403
    remove = ("package", "remove-version", "hello", "0.2.0", "--reason", "court order 12/2026")
    assert (await operator.run(*remove)).returncode == 1
    assert (await operator.json(*remove, "--yes"))[0]["visible"] is True
    assert (await fs_registry.http.get("/v1/packages/hello/0.2.0/download")).status_code == 404
    shown = (await operator.json("package", "show", "hello"))[0]
    assert (shown["owners"], shown["latest_version"]) == (["bob"], "0.1.0")
    assert [row["version"] for row in shown["versions"]] == ["0.1.0"]
    assert [(row["version"], row["reason"]) for row in shown["removed"]] == [("0.2.0", "court order 12/2026")]
    assert "removed: court order 12/2026" in (await operator.run("package", "show", "hello")).stdout
    assert [row["name"] for row in await operator.json("package", "list", "--owner", "bob")] == ["hello"]
    assert await operator.json("package", "list", "--owner", "alice") == []
    assert 'version "0.2.0" of package "hello" was removed' in await operator.refused(*remove, "--yes")
    unknown = ("package", "remove-version", "hello", "0.9.0", "--reason", "none")
    assert 'version "0.9.0" of package "hello" not found' in await operator.refused(*unknown, "--yes")


async def test_audit_events_are_found_by_each_condition(operator: Operator, fs_registry: Registry) -> None:
    """Events are printed oldest first, one JSON object per line; all given conditions must match."""
    await fs_registry.publish(hello_archive(), await fs_registry.add_publisher("alice"))
    await operator.json("user", "create", "admin")
    await operator.json("owner", "add", "hello", "admin")
    assert [event["action"] for event in await operator.json("audit")] == [
        "publish",
        "user_created",
        "owner_added",
    ]
    assert [event["package_version"] for event in await operator.json("audit", "--actor", "alice")] == [
        "0.1.0"
    ]
    assert len(await operator.json("audit", "--package", "hello", "--action", "owner_added")) == 1
    assert await operator.json("audit", "--package", "hello", "--actor", "nobody") == []
    assert len(await operator.json("audit", "--since", "2026-01-01")) == 3
    assert await operator.json("audit", "--since", "2999-01-01T00:00:00Z") == []
    text = (await operator.run("audit", "--action", "publish")).stdout
    assert text.splitlines()[1].split()[1:] == ["alice", "publish", "hello", "0.1.0"]


async def test_a_reader_that_has_seen_enough_is_no_failure(operator: Operator, fs_registry: Registry) -> None:
    """`x07-registry audit | head -1` ends silently, without an error about the database."""
    await fs_registry.publish(hello_archive(), await fs_registry.add_publisher("alice"))
    status, said = await asyncio.to_thread(_run_unread, operator.variables, "audit")
    assert (status, said) == (0, b"")


def _run_unread(variables: dict[str, str], *arguments: str) -> tuple[int, bytes]:
    """Run a command whose stdout is closed by its reader. Returns exit status and stderr."""
    with subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(**variables),
    ) as command:
        assert command.stdout is not None
        command.stdout.close()
        command.stdout = None
        _, said = command.communicate(timeout=DEADLINE_S)
    return command.returncode, said


async def test_lists_have_headings_and_read_as_text(operator: Operator, fs_registry: Registry) -> None:
    """Values stand below their headings, and no list of Python is shown."""
    made = await operator.run("token", "create", "--handle", "ci", "--scopes", "publish,yank")
    answer = await fs_registry.publish(hello_archive(), bearer(made.stdout.strip()))
    assert answer.status_code == 200, answer.text
    headings = {
        "user list": "HANDLE",
        "token list": "ID",
        "owner list hello": "OWNER",
        "package list": "NAME",
        "audit": "TIME",
    }
    for command, heading in headings.items():
        first, *rows = (await operator.run(*command.split())).stdout.splitlines()
        assert first.split()[0] == heading, command
        assert rows, command
        assert "['" not in "".join(rows), command
        starts = [at for at, letter in enumerate(first) if letter != " " and first[at - 1] == " "]
        assert {row[at - 1] for row in rows for at in starts if len(row) >= at} <= {" "}, command
    assert "scopes=publish,yank" in (await operator.run("audit")).stdout


async def test_an_action_that_no_event_has_is_refused(operator: Operator) -> None:
    """A mistyped action would otherwise look like an audit trail without such an event."""
    await operator.run("user", "create", "alice")
    refused = await operator.run("audit", "--action", "nosuch")
    assert refused.returncode == 2
    assert 'no event has the action "nosuch"' in refused.stderr
