"""Workers purge an edge after each publication, twice, and until it has taken the purge."""

from __future__ import annotations

from typing import Any

from tests.archives import hello_archive
from tests.conftest import MakeSettings
from tests.receiver import Receiver, answering
from tests.stack import Registry, eventually, running_registry, serving


async def nothing_waits(registry: Registry) -> bool:
    """True if every purge is done."""
    return not await registry.rows("SELECT 1 FROM edge_purges")


async def test_what_an_edge_refuses_is_purged_again_and_what_it_took_once_more(
    make_default_settings: MakeSettings,
) -> None:
    """The second purge drops what the edge was fetching during the change. Pages are purged once written."""
    edge = Receiver()
    failures = {"left": 2}
    are_there: list[bool] = []

    async def refuse_first(request: Any) -> Any:
        if "package/hello" in request.headers["surrogate-key"] and failures["left"]:
            failures["left"] -= 1
            return await answering(429)(request)
        if "pages/hello" in request.headers["surrogate-key"].split():
            are_there.append(bool(await registry.keys("pages/packages/hello/index.html")))
        return await answering(200)(request)

    edge.answer = refuse_first
    async with serving(edge.app) as url:
        settings = await make_default_settings(
            purge="fastly",
            purge_urls=(f"{url}/service/x07/purge",),
            purge_secret="s3cret",
            pages="on",
            catalog_debounce_seconds=0.02,
            sweep_seconds=0.5,
        )
        async with running_registry(settings) as registry:
            alice = await registry.add_publisher()
            assert (await registry.publish(hello_archive(), alice)).status_code == 200
            await registry.until_in_catalog("hello", "0.1.0")
            await eventually(lambda: registry.keys("pages/packages/hello/index.html"))
            await eventually(lambda: nothing_waits(registry))
    assert are_there[:2] == [True, True]
    keys = [headers["surrogate-key"].split() for headers, _ in edge.received]
    assert all(headers["fastly-key"] == "s3cret" for headers, _ in edge.received)
    assert sum("package/hello" in some for some in keys) == 4
    assert sum("catalog" in some for some in keys) >= 2
    assert sum("config" in some for some in keys) >= 2
    assert sum("pages" in some for some in keys) >= 2


async def test_without_an_edge_nothing_is_noted(fs_registry: Registry) -> None:
    """A registry without purges has no rows to write."""
    alice = await fs_registry.add_publisher()
    await fs_registry.publish(hello_archive(), alice)
    await fs_registry.until_in_catalog("hello", "0.1.0")
    assert await nothing_waits(fs_registry)
