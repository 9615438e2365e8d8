"""Schemathesis finds no answer that differs from the OpenAPI document."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from deploy.openapi.__main__ import DOCUMENT
from shared.settings import Settings
from tests.archives import hello_archive
from tests.fuzz.conformance import run_schemathesis
from tests.http.test_secret_scanning import Scanner
from tests.stack import ALL_SCOPES, Registry, running_registry, serving

META = {"x07c_compat": ">=0.1.111 <0.3.0", "archetype": "cli"}
# Random requests per operation, and their seed: `make fuzz` sends many, with a new seed each time.
EXAMPLES = int(os.environ.get("X07_FUZZ_EXAMPLES", "1"))
SEED = int(os.environ.get("X07_FUZZ_SEED", "1"))


@pytest_asyncio.fixture
async def everything(github_settings: Settings) -> AsyncIterator[Registry]:
    """A registry with sign-in, a package and no limits of attempts."""
    unlimited = {f"{of}_attempts_per_minute": 0 for of in ("sign_in", "token_creation", "publish")}
    async with AsyncExitStack() as stack:
        scanner = await stack.enter_async_context(serving(Scanner().app))
        settings = github_settings.model_copy(
            update={**unlimited, "secret_scanning_keys_url": f"{scanner}/keys"}
        )
        running = await stack.enter_async_context(running_registry(settings))
        owner = await running.add_publisher("octo")
        answer = await running.publish(hello_archive(meta=META), owner)
        assert answer.status_code == 200, answer.text
        yield running


@pytest.mark.long
@pytest.mark.timeout(600 + 60 * EXAMPLES)
@pytest.mark.parametrize("is_known", [True, False], ids=["with_a_token", "without"])
async def test_every_answer_is_one_that_the_document_tells(
    everything: Registry, tmp_path: Path, is_known: bool
) -> None:
    """There is no 5xx, no undocumented status, header or content type, and no invalid body."""
    headers = await everything.add_publisher("root", *ALL_SCOPES) if is_known else {}
    status, report = await run_schemathesis(
        everything.url,
        tmp_path,
        headers,
        examples=EXAMPLES if is_known else 1,
        phases="examples,coverage,fuzzing" if is_known else "examples,fuzzing",
        seed=SEED,
    )
    assert status == 0, report


FINDINGS = (
    "required headers are missing from the response:\n    - `etag`",
    "Undocumented status code\n\n    Received: 200",
    '0 is not of type "string"',
    '"X07REG_NOT_FOUND" is not one of "X07REG_CONFLICT"',
)


def lying(api: dict[str, Any]) -> dict[str, Any]:
    """A document of four operations, each with one wrong statement."""
    paths = {path: api["paths"][path] for path in ("/", "/healthz", "/v1/search", "/v1/packages/{name}")}
    paths["/"]["get"]["responses"]["200"]["headers"]["etag"] = {
        "required": True,
        "schema": {"type": "string"},
    }
    del paths["/healthz"]["get"]["responses"]["200"]
    api["components"]["schemas"]["SearchResponse"]["properties"]["total"]["type"] = "string"
    not_found = api["components"]["responses"]["404.NOT_FOUND"]["content"]["application/json"]["schema"]
    not_found["allOf"][1]["properties"]["code"]["enum"] = ["X07REG_CONFLICT"]
    paths["/v1/packages/{name}"]["get"]["parameters"][0]["example"] = "not-there"
    return {**api, "paths": paths}


async def test_a_document_that_lies_is_found_out(everything: Registry, tmp_path: Path) -> None:
    """Otherwise the test above would pass whatever the registry answers."""
    document = tmp_path / "lying.json"
    document.write_bytes(msgspec.json.encode(lying(msgspec.json.decode(DOCUMENT.read_bytes()))))
    status, report = await run_schemathesis(
        everything.url, tmp_path, {}, examples=3, phases="examples,fuzzing", seed=1, document=document
    )
    assert status == 1, report
    for finding in FINDINGS:
        assert finding in report, report
