"""Other people's clients and their habits: asking for HTTP/2, sending `close`, closing the sending side."""

from __future__ import annotations

import asyncio
import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.archives import hello_archive
from tests.loud import say_loudly
from tests.stack import Registry

JAVA_CLIENT = Path(__file__).parent / "clients" / "Publish.java"
PUBLISH = "/v1/packages/publish"
Command = Callable[[str, str, Path], Sequence[str]]


def _curl(url: str, token: str, archive: Path) -> Sequence[str]:
    sent = ["--header", f"authorization: Bearer {token}", "--data-binary", f"@{archive}"]
    return ["curl", "--silent", "--show-error", "--http2", *sent, url]


def _java(url: str, token: str, archive: Path) -> Sequence[str]:
    return ["java", str(JAVA_CLIENT), url, token, str(archive)]


@pytest.mark.parametrize("command", [_curl, _java])
async def test_a_client_that_would_rather_speak_http_2_publishes(
    command: Command, fs_registry: Registry, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """It sends `Upgrade: h2c` with the archive, and accepts an answer in HTTP/1.1."""
    token = (await fs_registry.add_publisher())["authorization"].removeprefix("Bearer ")
    archive = tmp_path / "hello.tar"
    archive.write_bytes(hello_archive())
    line = command(fs_registry.url + PUBLISH, token, archive)
    if shutil.which(line[0]) is None:
        say_loudly(request, f"{line[0]} is not here: it published nothing")
        return
    assert '"ok":true' in await _output(line)
    await fs_registry.until_in_catalog("hello", "0.1.0")


@pytest.mark.parametrize(
    ("size_bytes", "is_wrong", "expected"),
    [(68 << 20, False, (400, "X07REG_BODY_TOO_LARGE")), (20 << 20, True, (401, "X07REG_AUTH_INVALID"))],
)
async def test_a_client_that_sends_all_before_it_reads_hears_why_it_is_refused(
    size_bytes: int, is_wrong: bool, expected: tuple[int, str], fs_registry: Registry
) -> None:
    """Python's urllib sends `Connection: close` with an archive over the limit, or with a wrong token."""
    headers = {"authorization": "Bearer x07t_wrong"} if is_wrong else await fs_registry.add_publisher()
    headers["content-type"] = "application/octet-stream"
    url, data = fs_registry.url + PUBLISH, bytes(size_bytes)
    post = urllib.request.Request(url, data=data, headers=headers)  # noqa: S310
    with pytest.raises(urllib.error.HTTPError) as refused:
        await asyncio.to_thread(urllib.request.urlopen, post, timeout=60)
    with refused.value as answer:
        assert (answer.status, json.load(answer)["code"]) == expected


async def _output(command: Sequence[str]) -> str:
    """The output of a program; fails with its error output if it fails."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, complaint = await process.communicate()
    assert process.returncode == 0, complaint.decode()
    return output.decode()
