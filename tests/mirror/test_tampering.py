"""A mirror reports tampering with the origin's storage, and copies nothing false."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from shared.storage.interface import Storage
from tests.archives import hello_archive
from tests.conftest import MakeSettings
from tests.indexer.upkeep.walks import body_of, overwrite
from tests.log.logs import VKEY, log_six_entries
from tests.log.patience import wait_briefly
from tests.log.tampering import (
    Tampering,
    change_a_line,
    change_an_entry,
    forge_the_signature,
    hide_a_package,
    hide_a_version,
    put_log,
    remove_a_tile,
    roll_the_log_back,
    show_what_is_not_logged,
    sign_twice,
    swap_a_tile,
    swap_an_entry,
    take_a_yank_back,
)
from tests.mirror import mirrors
from tests.mirror.mirrors import running_at_its_base, tree_of
from tests.stack import Registry

mirror = partial(mirrors.mirror, prepare=wait_briefly)
ARCHIVE = "dl/hello/0.2.0/download"


@pytest.fixture
def storage_settings(tmp_path: Path) -> dict[str, Any]:
    """A directory; the reports do not depend on the kind of storage."""
    return {"storage": "fs", "data_dir": tmp_path / "tree"}


@pytest_asyncio.fixture
async def registry(make_settings: MakeSettings) -> AsyncIterator[Registry]:
    """A log of six entries; no worker runs that would repair it, and no reader caches anything."""
    async with running_at_its_base(
        make_settings, publish_wait_seconds=0, read_ttl_seconds=0, with_worker=False
    ) as running:
        await log_six_entries(running)
        yield running


async def change_an_archive(storage: Storage) -> None:
    """Other bytes for the same version."""
    await overwrite(storage, ARCHIVE, hello_archive("hello", "0.2.0", description="Evil."))


async def change_a_key(storage: Storage) -> None:
    """Another public key for versions under the known id."""
    config = json.loads(await body_of(storage, "index/config.json"))
    config["signing"]["public_keys"][0]["ed25519_pub"] = "A" * 43 + "="
    await overwrite(storage, "index/config.json", json.dumps(config).encode())


@pytest.mark.parametrize(
    ("change", "key", "told"),
    [
        (change_a_line, "index/he/ll/hello", "it was changed or rolled back"),
        (take_a_yank_back, "index/he/ll/hello", "it was changed or rolled back"),
        (hide_a_version, "index/he/ll/hello", "0.2.0: the log has it, but the index does not show it"),
        (hide_a_package, "index/ot/he/other", "1.0.0: the log has it, but the index does not show it"),
        (
            show_what_is_not_logged,
            "index/he/ll/hello",
            "9.0.0: the index shows it, but the log does not have it",
        ),
        (change_an_archive, ARCHIVE, "its SHA-256 is"),
    ],
)
async def test_what_the_log_does_not_tell_is_told_and_not_taken(
    registry: Registry, tmp_path: Path, change: Tampering, key: str, told: str
) -> None:
    """Exit status 1; the mirror shows the lines of the log, except for a version whose archive is wrong."""
    truth = tmp_path / "truth"
    assert (await mirror(registry.url, truth))[0] == 0
    await change(registry.storage)
    made = tmp_path / "mirror"
    status, report = await mirror(registry.url, made, "--vkey", VKEY)
    assert (status, report["ok"]) == (1, False)
    assert any(one["key"] == key and told in one["detail"] for one in report["findings"]), report
    expected, mine = tree_of(truth), tree_of(made)
    if change is change_an_archive:
        assert b'"0.2.0"' not in mine["index/he/ll/hello"]
        assert ARCHIVE not in mine
    else:
        assert mine["index/he/ll/hello"] == expected["index/he/ll/hello"]
        assert mine["index/ot/he/other"] == expected["index/ot/he/other"]
    status, report = await mirror(registry.url, truth, "--deep")
    assert status == (0 if change is change_an_archive else 1)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (swap_a_tile, "log/tile/0/000.p/6 does not follow from the entries"),
        (remove_a_tile, "log/tile/0/000.p/6 does not follow from the entries"),
        (swap_an_entry, "an entry of the log cannot be read"),
        (change_an_entry, "are not those that its checkpoint was signed for"),
        (forge_the_signature, "does not verify"),
    ],
)
async def test_a_log_that_does_not_hold_together_is_not_taken(
    registry: Registry, tmp_path: Path, change: Tampering, told: str
) -> None:
    """The first run ends before it shows anything."""
    await change(registry.storage)
    status, report = await mirror(registry.url, tmp_path / "mirror")
    assert (status, report["complete"]) == (1, False)
    assert told in str(report["findings"]), report["stderr"]
    assert set(tree_of(tmp_path / "mirror")) <= {"index/config.json", *bundles(tmp_path / "mirror")}


def bundles(root: Path) -> set[str]:
    """Files of a log that has no checkpoint."""
    return {path for path in tree_of(root) if path.startswith("log/tile/")}


async def fork(storage: Storage) -> None:
    """A longer log that does not begin with the one that was signed."""
    await put_log(storage, [f'{{"name":"hello","version":"{n}","line":{{}}}}'.encode() for n in range(9)])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (roll_the_log_back, "rolled back"),
        (sign_twice, "signed two trees of 6 entries"),
        (fork, "has another history"),
    ],
)
async def test_a_rollback_or_a_fork_stops_it_with_what_was_seen(
    registry: Registry, tmp_path: Path, change: Tampering, told: str
) -> None:
    """Exit status 3; the mirror stays as it was, beside the checkpoint that contradicts it."""
    made = tmp_path / "mirror"
    assert (await mirror(registry.url, made))[0] == 0
    before = tree_of(made)
    await change(registry.storage)
    status, report = await mirror(registry.url, made)
    assert status == 3
    assert told in report["findings"][0]["detail"]
    assert tree_of(made) == before
    seen = (made / ".x07-mirror/contradicts").read_bytes()
    assert seen == await body_of(registry.storage, "log/checkpoint")


async def test_a_log_that_goes_away_or_changes_its_key_is_told(registry: Registry, tmp_path: Path) -> None:
    """Whoever takes the log off the origin's config.json does not get an unverified mirror."""
    made = tmp_path / "mirror"
    assert (await mirror(registry.url, made))[0] == 0
    config = json.loads(await body_of(registry.storage, "index/config.json"))
    other = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
    for log, told in (({"url": "http://x/log/", "vkey": other}, "another key"), (None, "no log")):
        changed = {**config, "log": log} if log else {key: config[key] for key in config if key != "log"}
        await overwrite(registry.storage, "index/config.json", json.dumps(changed).encode())
        status, report = await mirror(registry.url, made)
        assert (status, report["complete"]) == (1, False), report["stderr"]
        assert told in report["findings"][0]["detail"], report
    status, report = await mirror(registry.url, tmp_path / "second", "--vkey", other)
    assert status == 1
    await overwrite(registry.storage, "index/config.json", json.dumps(config).encode())
    await change_a_key(registry.storage)
    assert (await mirror(registry.url, made))[0] == 1
