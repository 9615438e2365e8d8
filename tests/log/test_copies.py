"""A mirror made by `export` has the whole, checked log, and never one that contradicts its own history."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from shared.storage.filesystem import FileSystemStorage
from tests.archives import hello_archive
from tests.conftest import MakeSettings
from tests.deploy.commands import document, variables_of
from tests.indexer.upkeep.walks import overwrite, settle
from tests.log.go_reader import MISSING, GoReader
from tests.log.logs import LOGGING, SIGNER, VKEY, add_lines, index_lines_of, read_log, sequence
from tests.loud import say_loudly
from tests.stack import Registry, running_registry


@pytest_asyncio.fixture
async def registry(make_settings: MakeSettings) -> AsyncIterator[Registry]:
    """A registry with a log of 301 entries; no worker runs."""
    settings = await make_settings(publish_wait_seconds=0, **LOGGING)
    async with running_registry(settings, with_worker=False) as running:
        publisher = await running.add_publisher()
        await running.publish(hello_archive(), publisher)
        await settle(running)
        await sequence(running)
        await add_lines(running, 300)
        await sequence(running)
        yield running


async def test_a_mirror_has_the_log_and_goes_on_where_it_was(
    registry: Registry, go_reader: GoReader | None, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Only new entries are copied; partial tiles that a full one replaces are removed."""
    mirror, variables = tmp_path / "mirror", variables_of(registry.settings)
    status, first = document("export", str(mirror), **variables)
    assert (status, first["entries"], first["wrong"]) == (0, 301, 0)
    config = json.loads((mirror / "index/config.json").read_text())
    assert config["log"] == {"url": f"{mirror.as_uri()}/log/", "vkey": VKEY}
    await add_lines(registry, 500)
    await sequence(registry)
    status, second = document("export", str(mirror), **variables)
    assert (status, second["entries"]) == (0, 500)
    assert document("export", str(mirror), **variables)[1]["entries"] == 0
    store = FileSystemStorage(mirror)
    log = await read_log(store)
    assert log.entries == (await read_log(registry.storage)).entries
    assert not list(mirror.glob("log/tile/entries/001.p/*"))
    [line] = (await index_lines_of(store, "hello")).values()
    assert bytes(log.entries[0].line) == line  # type: ignore[arg-type]
    await store.close()
    if go_reader is None:
        say_loudly(request, MISSING)
        return
    assert go_reader.read(mirror / "log", VKEY)["size"] == 801


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_a_log_that_was_rolled_back_or_forked_is_not_copied(registry: Registry, tmp_path: Path) -> None:
    """The mirror keeps its own history, and the command reports it and exits with 1."""
    mirror, variables = tmp_path / "mirror", variables_of(registry.settings)
    document("export", str(mirror), **variables)
    kept = (mirror / "log/checkpoint").read_bytes()
    for size, told in ((200, "rolled back"), (301, "does not begin"), (302, "missing")):
        forged = SIGNER.sign(f"{LOGGING['log_origin']}\n{size}\n{'A' * 43}=\n")
        await overwrite(registry.storage, "log/checkpoint", forged)
        status, report = document("export", str(mirror), **variables)
        assert (status, report["wrong"]) == (1, 1)
        assert told in report["findings"][0]["detail"]
        assert (mirror / "log/checkpoint").read_bytes() == kept


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_config_json_of_the_registry_is_what_says_that_there_is_a_log(
    registry: Registry, tmp_path: Path
) -> None:
    """The exporting machine needs no key of the log."""
    mirror = tmp_path / "mirror"
    variables = variables_of(registry.settings)
    variables.pop("X07_REGISTRY_LOG_KEY_B64", None)
    status, report = document("export", str(mirror), **variables)
    assert (status, report["entries"]) == (0, 301)
