"""Web pages of other origins can read through the edge, although a file is stored once for all of them."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from shared.settings import Settings
from tests.edge.conftest import ARCHIVE, INDEX, publish, running_edge

LISTED = ("https://x07.io", "https://staging.x07.io")
OTHERS = ("https://x07.io.evil.example", "http://x07.io", "null", "*", "https://X07.io")
OF_CORS = ("access-control-", "vary")
METADATA = "/v1/packages/hello/0.1.0/metadata"


def of_cors(answer: httpx.Response) -> list[tuple[str, str]]:
    """The headers that browsers check for another origin."""
    fields = answer.headers.multi_items()
    return sorted((name, value) for name, value in fields if name.startswith(OF_CORS))


@pytest.mark.parametrize(
    "allowed", [(), LISTED, ("*",), ("*", LISTED[0])], ids=["none", "two", "any", "both"]
)
async def test_each_origin_is_answered_as_a_reader_answers_it(
    settings: Settings, tmp_path: Path, allowed: tuple[str, ...]
) -> None:
    """Origins come in any order, or not at all; answers come from the cache and from a reader."""
    own = settings.model_copy(update={"cors_origins": allowed})
    async with running_edge(own, tmp_path, edge_fresh_seconds=600) as edge:
        await publish(edge)
        for path in (INDEX, ARCHIVE, METADATA, "/index/config.json"):
            for origin in (LISTED[1], OTHERS[0], *LISTED, *OTHERS, None):
                headers = {"origin": origin} if origin is not None else {}
                through = await edge.http.get(path, headers=headers)
                past = await edge.registry.http.get(path, headers=headers)
                assert (through.status_code, through.content) == (200, past.content)
                assert of_cors(through) == of_cors(past), (path, origin)
        assert edge.reads.count(ARCHIVE) == 1


async def test_a_preflight_is_answered_by_the_tier(settings: Settings, tmp_path: Path) -> None:
    """This applies to files and to the API."""
    own = settings.model_copy(update={"cors_origins": LISTED})
    async with running_edge(own, tmp_path) as edge:
        for path in (INDEX, ARCHIVE, "/v1/packages/hello"):
            for origin in (LISTED[0], OTHERS[0]):
                headers = {"origin": origin, "access-control-request-method": "GET"}
                through = await edge.http.request("OPTIONS", path, headers=headers)
                past = await edge.registry.http.request("OPTIONS", path, headers=headers)
                assert (through.status_code, of_cors(through)) == (200, of_cors(past))


async def test_a_listed_origin_reads_what_is_kept_while_no_reader_answers(
    settings: Settings, tmp_path: Path
) -> None:
    """The CORS headers are stored too; a new origin gets the file without them."""
    own = settings.model_copy(update={"cors_origins": LISTED})
    async with running_edge(own, tmp_path, edge_fresh_seconds=1) as edge:
        await publish(edge)
        await edge.http.get(INDEX, headers={"origin": LISTED[0]})
        await edge.stop_readers()
        known = await edge.http.get(INDEX, headers={"origin": LISTED[0]})
        assert (known.status_code, known.headers["access-control-allow-origin"]) == (200, LISTED[0])
        new = await edge.http.get(INDEX, headers={"origin": LISTED[1]})
        assert (new.status_code, new.headers.get("access-control-allow-origin")) == (200, None)
