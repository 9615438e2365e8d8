"""The image's layout, built in an empty folder without a container engine; each role starts from it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from tests.deploy.image import CONTAINERFILE, HOME, Image, built_image
from tests.deploy.processes import until

ROLES = ("serve write --bind 127.0.0.1:0", "serve read --bind 127.0.0.1:0", "worker")


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """The image's layout, built by the image's own steps."""
    with built_image() as image:
        yield image


def test_the_image_runs_its_own_code_and_leaves_out_what_only_developers_need(image: Image) -> None:
    """It has no files of this repository and no tests, but has the migrations and the OpenAPI document."""
    code = (
        "import deploy.cli.app, openapi, pathlib, json;"
        "beside = [str(p) for p in pathlib.Path(openapi.__file__).parent.iterdir()];"
        "print(json.dumps([deploy.__file__, beside]))"
    )
    process = image.run(image.python, "-P", "-c", code)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    module, openapi = json.loads(output.splitlines()[-1])
    assert Path(module).is_relative_to(image.root)
    assert any(name.endswith("openapi.json") for name in openapi)
    site = Path(module).parents[1]
    assert not (site / "tests").exists()
    assert sorted((site / "deploy" / "migrations" / "versions").glob("0*.py"))


@pytest_asyncio.fixture
async def variables(image: Image, new_database: Callable[[], Awaitable[str]], valkey: Any) -> dict[str, str]:
    """The variables that an operator sets, with a port, a database and storage for this test alone."""
    directory = image.root / "data" / uuid4().hex
    directory.mkdir()
    if image.account is not None:
        os.chown(directory, image.account.uid, image.account.gid)
    return {
        "X07_REGISTRY_DATA_DIR": str(directory),
        "X07_REGISTRY_DATABASE_URL": await new_database(),
        "X07_REGISTRY_REDIS_URL": valkey.url,
        "X07_REGISTRY_REDIS_NAMESPACE": image.root.name,
        "X07_REGISTRY_METRICS_BIND": "127.0.0.1:0",
    }


def test_the_migration_job_ends_well(image: Image, variables: dict[str, str]) -> None:
    """This includes a second run, which has nothing to do."""
    job = image.run(image.program, "migrate", **variables)
    said, _ = job.communicate(timeout=60)
    assert job.returncode == 0, said


@pytest.mark.parametrize(
    "role", ["serve write --bind 127.0.0.1:0", "serve read --bind 127.0.0.1:0", "worker"]
)
def test_each_role_starts_from_the_image_and_is_healthy(
    image: Image, variables: dict[str, str], role: str
) -> None:
    """The container's own health check passes; the process is ready, and ends when asked to."""
    process = image.run(image.program, *role.split(), **variables)
    try:
        port = until(lambda: operations_port(process), 60)
        health_check(image, port)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=60) as answer:
            assert json.load(answer)["ok"] is True
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()


def operations_port(process: subprocess.Popen[str]) -> int | None:
    """The port in the next log line of the process that has one."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"the role ended with {process.wait()}"
    said = json.loads(line) if line.startswith("{") else {}
    return said["port"] if said.get("event") == "operations_listening" else None


def health_check(image: Image, port: int) -> None:
    """The HEALTHCHECK of the Containerfile, with this process's port."""
    (text,) = re.findall(r"^HEALTHCHECK .*\\\n\s+CMD (\[.*\])$", CONTAINERFILE, re.MULTILINE)
    program, *arguments = json.loads(text.replace(":9464", f":{port}"))
    process = image.run(image.root / HOME / "bin" / program, *arguments)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
