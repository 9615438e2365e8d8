"""Signing versions that were published without a key: the report, the run, and the older command line."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

import msgspec
import pytest
from sqlalchemy import text

from deploy.cli.progress import open_walk
from deploy.signature_backfill import BATCH, report_backfill
from shared.settings import Settings
from shared.signing import verify
from tests.archives import hello_archive
from tests.conftest import SIGNING
from tests.deploy.processes import COMMAND, DEADLINE_S, environment
from tests.stack import Registry

LEGACY = (sys.executable, "-P", "-c", "from deploy.cli.backfill_signatures import legacy_main; legacy_main()")
KEY_ID = SIGNING["pkg_signing_key_id"]
MANY = """
INSERT INTO packages (name, created_by)
SELECT 'p' || n, (SELECT id FROM users LIMIT 1) FROM generate_series(1, :packages) n;
"""
MANY_VERSIONS = """
INSERT INTO package_versions (package_id, version, cksum, manifest, published_by, signature_kind,
                              signature_key_id, signature_bytes)
SELECT p.id, '1.0.' || n, repeat('0', 64), '{}', p.created_by, CASE n % 3 WHEN 0 THEN 'ed25519' END, '', ''
FROM packages p, generate_series(1, :versions) n
"""


def with_key(settings: Settings) -> Settings:
    """The same registry, but with a signing key."""
    return Settings(**{**settings.model_dump(), **SIGNING})


def variables(settings: Settings, **more: str) -> dict[str, str]:
    """The environment of a command for this registry, with a signing key."""
    return (
        environment(
            X07_REGISTRY_DATABASE_URL=settings.database_url.get_secret_value(),
            X07_REGISTRY_REDIS_URL=settings.redis_url.get_secret_value(),
            X07_REGISTRY_REDIS_NAMESPACE=settings.redis_namespace,
            X07_REGISTRY_PKG_SIGNING_KEY_ID=KEY_ID,
            X07_REGISTRY_PKG_SIGNING_ED25519_SECRET_B64=SIGNING["pkg_signing_ed25519_secret_b64"],
        )
        | more
    )


async def run(command: tuple[str, ...], *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, in a thread."""
    return await asyncio.to_thread(
        lambda: subprocess.run(
            [*command, *arguments],
            check=False,
            capture_output=True,
            text=True,
            env=env,
            timeout=DEADLINE_S,
        )
    )


async def backfill(settings: Settings, *, write: bool) -> dict[str, Any]:
    """The result of a successful backfill."""
    with open_walk() as progress:
        report, status = await report_backfill(settings, write=write, migrate_first=False, progress=progress)
    assert (report.ok, status) == (True, 0)
    return dict(msgspec.to_builtins(report.result))


async def test_a_dry_run_counts_and_changes_nothing_and_a_write_reaches_readers(
    fs_registry: Registry,
) -> None:
    """The report equals the contract's, byte for byte, and readers get signatures that verify."""
    publisher = await fs_registry.add_publisher()
    cksum = (await fs_registry.publish(hello_archive(), publisher)).json()["cksum"]
    env = variables(fs_registry.settings)
    dry = await run((*COMMAND, "backfill-signatures"), **env)
    assert dry.returncode == 0
    assert dry.stdout == (
        '{\n  "ok": true,\n  "command": "backfill.pkg_signatures",\n  "result": {\n'
        '    "total_versions": 1,\n    "unsigned_before": 1,\n    "unsigned_after": 1,\n'
        f'    "backfilled": 1,\n    "dry_run": true,\n    "key_id": "{KEY_ID}"\n  }}\n}}\n'
    )
    assert await fs_registry.rows("SELECT 1 FROM package_versions WHERE signature_kind IS NOT NULL") == []
    written = await run((*COMMAND, "backfill-signatures", "--write"), **env)
    result = json.loads(written.stdout)["result"]
    assert (result["unsigned_before"], result["unsigned_after"], result["backfilled"]) == (1, 0, 1)
    row = (await fs_registry.rows("SELECT signature_bytes, signature_key_id FROM package_versions"))[0]
    signer = with_key(fs_registry.settings).signer()
    assert signer is not None
    assert row.signature_key_id == KEY_ID
    assert verify(signer.public_key, row.signature_bytes, name="hello", version="0.1.0", sha256=cksum)
    await fs_registry.until_row("SELECT 1 FROM index_state WHERE published_generation = 2")
    line = (await fs_registry.http.get("/index/he/ll/hello?x07_refresh=1")).json()
    assert line["signature"]["key_id"] == KEY_ID


async def test_many_versions_are_each_signed_once_by_runs_at_the_same_time(
    fs_registry: Registry,
) -> None:
    """More than one batch, with half-signed rows; one generation per package and batch, not per row."""
    await fs_registry.add_user("alice")
    packages, versions = 7, BATCH // 3
    async with fs_registry.database.transaction() as tx:
        await tx.execute(text(MANY), {"packages": packages})
        await tx.execute(text(MANY_VERSIONS), {"versions": versions})
    settings = with_key(fs_registry.settings)
    total = packages * versions
    dry = await backfill(settings, write=False)
    assert dry["backfilled"] == dry["unsigned_before"] == dry["unsigned_after"] == total
    both = await asyncio.gather(*(backfill(settings, write=True) for _ in range(2)))
    assert sum(result["backfilled"] for result in both) == total
    assert {result["unsigned_after"] for result in both} == {0}
    rows = await fs_registry.rows("SELECT generation FROM index_state")
    assert len(rows) == packages
    assert max(row.generation for row in rows) <= 4


async def test_without_a_key_nothing_is_signed_and_the_exit_status_is_2(fs_registry: Registry) -> None:
    """The error is on stdout, for programs that read the report."""
    env = variables(fs_registry.settings, X07_REGISTRY_PKG_SIGNING_ED25519_SECRET_B64="")
    for command in ((*COMMAND, "backfill-signatures"), (*LEGACY, "backfill-pkg-signatures")):
        answer = await run(command, "--write", **env)
        report = json.loads(answer.stdout)
        assert (answer.returncode, report["ok"], report["error"]["code"]) == (
            2,
            False,
            "X07REG_ADMIN_SIGNING_DISABLED",
        )
        assert "result" not in report


async def test_a_database_that_does_not_answer_is_reported_with_exit_1(fs_registry: Registry) -> None:
    """It has the other error code, and the message says what failed."""
    env = variables(fs_registry.settings) | {"X07_REGISTRY_DATABASE_URL": "postgres://x:x@127.0.0.1:1/x"}
    for command in ((*COMMAND, "backfill-signatures"), (*LEGACY, "backfill-pkg-signatures")):
        answer = await run(command, **env)
        report = json.loads(answer.stdout)
        assert (answer.returncode, report["error"]["code"]) == (1, "X07REG_ADMIN_BACKFILL_FAILED")
        assert "database unavailable" in report["error"]["message"]


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        ((), 2, "usage:"),
        (("-h",), 0, "usage:"),
        (("backfill-pkg-signatures", "--bogus", "--help"), 0, "usage:"),
        (("sign-all",), 2, "unknown command: sign-all"),
        (("backfill-pkg-signatures", "--dry"), 2, "unknown flag: --dry"),
    ],
)
async def test_the_older_name_keeps_its_usage_and_exit_statuses(
    arguments: tuple[str, ...], status: int, told: str
) -> None:
    """Scripts of deployments call it like this; all of it goes to stderr."""
    answer = await run(LEGACY, *arguments, **environment())
    assert (answer.returncode, answer.stdout) == (status, "")
    assert answer.stderr.startswith(told)
    assert "usage: x07-registry-admin backfill-pkg-signatures [--write]" in answer.stderr


async def test_the_older_name_migrates_and_signs(fs_registry: Registry) -> None:
    """The older binary did so too."""
    await fs_registry.publish(hello_archive(), await fs_registry.add_publisher())
    answer = await run(LEGACY, "backfill-pkg-signatures", "--write", **variables(fs_registry.settings))
    assert answer.returncode == 0
    assert json.loads(answer.stdout)["result"]["backfilled"] == 1
