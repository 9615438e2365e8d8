"""A private registry behind the edge: readers are asked for each request, and nothing is kept."""

from __future__ import annotations

from pathlib import Path

from tests.archives import hello_archive
from tests.conftest import MakeSettings
from tests.edge.conftest import ARCHIVE, INDEX, publish, running_edge
from tests.stack import bearer, eventually

METADATA = "/v1/packages/hello/0.1.0/metadata"


async def test_no_private_byte_comes_from_the_edge_s_cache(
    make_default_settings: MakeSettings, tmp_path: Path
) -> None:
    """After a holder has read a file, nobody else gets it; the edge's cache stays empty."""
    settings = await make_default_settings(reads="token", catalog_debounce_seconds=0.02)
    async with running_edge(settings, tmp_path) as edge:
        holder = await publish(edge)

        async def is_let_in() -> bool:
            return (await edge.http.get(INDEX, headers=holder)).status_code == 200

        await eventually(is_let_in)
        for path in (INDEX, ARCHIVE, METADATA, f"{INDEX}?x07_refresh=1"):
            for _ in range(2):
                answer = await edge.http.get(path, headers=holder)
                assert answer.status_code == 200, path
                assert answer.headers["cache-control"].startswith("private"), path
                for headers in ({}, bearer("x07t_unknown")):
                    refused = await edge.http.get(path, headers=headers)
                    assert (refused.status_code, b"hello" in refused.content) == (401, False), path
        kept = [file for file in (tmp_path / "edge/run/cache").rglob("*") if file.is_file()]
        assert kept == []


async def test_private_packages_pass_the_edge_with_a_token_and_are_not_kept(
    make_default_settings: MakeSettings, tmp_path: Path
) -> None:
    """Others get what they get of an unknown name, also afterwards; public files come from the cache."""
    settings = await make_default_settings(private_namespaces="hello:alice", catalog_debounce_seconds=0.02)
    async with running_edge(settings, tmp_path) as edge:
        holder = await publish(edge)
        assert (await edge.registry.publish(hello_archive("open"), holder)).status_code == 200

        async def is_let_in() -> bool:
            return (await edge.http.get(INDEX, headers=holder)).status_code == 200

        assert (await edge.http.get(INDEX)).status_code == 404
        await eventually(is_let_in)
        for path in (INDEX, ARCHIVE, METADATA):
            answer = await edge.http.get(path, headers=holder)
            assert answer.headers["cache-control"].startswith("private"), path
            for headers in ({}, bearer("x07t_unknown")):
                refused = await edge.http.get(path, headers=headers)
                assert refused.status_code == 404, path
        for _ in range(3):
            assert (await edge.http.get("/index/op/en/open")).status_code == 200
        assert edge.reads.count("/index/op/en/open") == 1
