"""Every read names the surrogate key of its file, so that an edge can be asked to drop it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.api.read.http.conftest import directory
from tests.api.read.http.reading import ARCHIVE_PATH, INDEX_PATH, METADATA_PATH, Reading, reading


async def test_every_answer_of_a_file_has_its_key(fs_tier: Reading) -> None:
    """From storage, from memory, as 304 and 206, and to HEAD."""
    keys = {
        "/index/config.json": "config",
        "/index/catalog.json": "catalog",
        INDEX_PATH: "package/hello",
        METADATA_PATH: "package/hello",
    }
    for path, key in keys.items():
        answers = [await fs_tier.http.get(path) for _ in range(3)]
        known = {"if-none-match": answers[0].headers["etag"]}
        answers += [await fs_tier.http.get(path, headers=known) for _ in range(2)]
        answers.append(await fs_tier.http.head(path))
        assert [answer.headers["surrogate-key"] for answer in answers] == [key] * 6
        assert [answer.status_code for answer in answers] == [200, 200, 200, 304, 304, 200]
    part = await fs_tier.http.get(ARCHIVE_PATH, headers={"range": "bytes=0-1"})
    assert part.headers["surrogate-key"] == "archive/hello/0.1.0"


@pytest.mark.parametrize("header", ["cache-tag", "none"])
async def test_the_header_is_a_setting(tmp_path: Path, header: str) -> None:
    """Cloudflare knows another name."""
    settings = directory(tmp_path).model_copy(update={"surrogate_header": header})
    async with reading(settings) as tier:
        for _ in range(3):
            answer = await tier.http.get(INDEX_PATH)
            assert answer.headers.get("cache-tag") == ("package/hello" if header == "cache-tag" else None)
            assert "surrogate-key" not in answer.headers
