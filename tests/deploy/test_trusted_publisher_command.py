"""`x07-registry trusted-publisher`: users without sign-in trust builds at the command line."""

from __future__ import annotations

import asyncio

from tests.deploy.commands import variables_of
from tests.deploy.forked_commands import run
from tests.stack import Registry

BUILD = ("--by", "alice", "--repository", "octo/hello", "--workflow", "release.yml")


async def test_a_build_is_trusted_listed_and_no_longer_trusted(fs_registry: Registry) -> None:
    """On behalf of a user, also before the first version; what cannot be is told in one line."""
    await fs_registry.add_user("alice")
    variables = variables_of(fs_registry.settings)

    async def command(*words: str) -> tuple[int, str]:
        answer = await asyncio.to_thread(run, "trusted-publisher", *words, **variables)
        return answer.returncode, answer.stderr if answer.returncode else answer.stdout

    assert await command("add", "hello", *BUILD, "--environment", "release") == (
        0,
        "octo/hello may publish hello on behalf of alice\n",
    )
    status, listed = await command("list", "hello")
    assert status == 0
    heading, row = listed.splitlines()
    assert row[heading.index("REPOSITORY") :].split()[:2] == ["octo/hello", ".github/workflows/release.yml"]
    assert row.endswith("  by alice  environment release")
    status, refused = await command("add", "hello", *BUILD[:-1], "../release.yml")
    assert status == 1
    assert "without a path" in refused
    publisher_id = listed.splitlines()[1].split()[0]
    assert await command("remove", "hello", publisher_id, "--by", "alice") == (0, f"removed {publisher_id}\n")
    assert await command("list", "hello") == (0, "")
