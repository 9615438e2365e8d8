"""A log of everything that the toolchain's packages have published, read by Go.

tests/data/published_versions.ndjson.gz holds the manifests of the 430 versions of 69 packages, as the
toolchain's repository has them in `packages/ext`.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from api.write.app import open_services
from api.write.principal import Principal
from api.write.removal import remove_version
from tests.archives import build_archive, listed_files
from tests.conftest import SIGNING, MakeSettings
from tests.deploy.commands import document, variables_of
from tests.http.test_refusals import fill_in
from tests.log.go_reader import MISSING, GoReader
from tests.log.logs import LOGGING, VKEY, dump_log, index_lines_of, until_logged
from tests.loud import say_loudly
from tests.stack import Registry, running_registry

PUBLISHED = Path(__file__).parents[1] / "data" / "published_versions.ndjson.gz"
AT_ONCE = 4


def published_manifests() -> list[dict[str, Any]]:
    """The manifest of each version, with the fields that are required today."""
    lines = gzip.decompress(PUBLISHED.read_bytes()).splitlines()
    return [fill_in(json.loads(line)) for line in lines]


@pytest.fixture
def storage_settings(tmp_path: Path) -> dict[str, Any]:
    """A directory; the log does not depend on the kind of storage."""
    return {"storage": "fs", "data_dir": tmp_path / "tree"}


@pytest_asyncio.fixture
async def registry(make_settings: MakeSettings) -> AsyncIterator[Registry]:
    """A registry that logs and signs."""
    async with running_registry(await make_settings(**LOGGING, **SIGNING)) as running:
        yield running


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_go_accepts_the_log_of_all_published_versions_with_yanks_advisories_and_a_removal(
    registry: Registry, go_reader: GoReader | None, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Go reads every entry in order, and `log verify` finds no difference between index and log."""
    manifests = published_manifests()
    assert len(manifests) == 430
    releases = [(manifest["name"], manifest["version"]) for manifest in manifests]
    publisher = await registry.add_publisher("alice", "publish", "owner.manage")
    await publish_all(registry, manifests, publisher)
    await until_logged(registry, 430)
    await change_some(registry, releases, publisher)
    log = await until_logged(registry, 441)

    counts = Counter((entry.name, entry.version) for entry in log.entries)
    assert set(counts) == set(releases)
    assert [counts[release] for release in releases[:6]] == [3, 2, 3, 2, 3, 2]
    tombstones = [release for release in releases if log.lines_of(*release)[-1].get("removed")]
    assert tombstones == [releases[-1]]
    lines = await index_lines_of(registry.storage, *{name for name, _ in releases})
    digests = {release: hashlib.sha256(line).hexdigest() for release, line in lines.items()}
    assert digests == {
        release: digest for release, digest in log.last_digests().items() if release != releases[-1]
    }
    verified = await asyncio.to_thread(document, "log", "verify", **variables_of(registry.settings))
    assert verified[0] == 0, verified[1]

    if go_reader is None:
        say_loudly(request, MISSING)
        return
    await dump_log(registry.storage, tmp_path / "log")
    assert go_reader.read(tmp_path / "log", VKEY) == {
        "size": 441,
        "root": log.head.root.hex(),
        "entries_sha256": hashlib.sha256(b"".join(log.raw)).hexdigest(),
    }


async def publish_all(registry: Registry, manifests: list[dict[str, Any]], publisher: dict[str, str]) -> None:
    """Publish all of them, several packages at a time."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def publish(manifest: dict[str, Any]) -> None:
        async with gate:
            answer = await registry.publish(build_archive(manifest, listed_files(manifest)), publisher)
        assert answer.status_code == 200, answer.text

    await asyncio.gather(*map(publish, manifests))


async def change_some(registry: Registry, releases: list[tuple[str, str]], publisher: dict[str, str]) -> None:
    """Change eleven lines: four yanks, three of which are undone, three advisories, a removal."""
    yank, restore = ("yank", {"yanked": True}), ("yank", {"yanked": False})
    warning = ("advisories", {"kind": "security", "severity": "high", "summary": "Bad."})
    changes = [(release, change) for release in releases[0:6:2] for change in (yank, restore)]
    changes += [(release, warning) for release in releases[1:6:2]]
    for (name, version), (path, body) in [*changes, (releases[-1], yank)]:
        url = f"/v1/packages/{name}/{version}/{path}"
        answer = await registry.http.post(url, json=body, headers=publisher)
        assert answer.status_code == 200, answer.text
    admin = Principal(await registry.add_user("admin"), "admin", None, ("admin",), email_verified=True)
    async with open_services(registry.settings) as services:
        assert await remove_version(services, admin, *releases[-1], "court order 12/2026")
