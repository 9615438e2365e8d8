"""The image without an engine: its steps in an empty folder, and each role started from there.

The steps are read from the Containerfile. What it installs from the lock file is taken from this
environment, unless X07_IMAGE_INSTALL is `full` (`make image-test`): then it is installed anew, with hashes.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from deploy.local.account import Account, server_account
from deploy.local.posix_acl import allow_search
from tests.deploy.processes import until

ROOT = Path(__file__).parents[2]
CONTAINERFILE = (ROOT / "deploy" / "container" / "Containerfile").read_text()
HOME = "opt/x07-registry"
ROLES = ("serve write --bind 127.0.0.1:0", "serve read --bind 127.0.0.1:0", "worker")


@dataclass
class Image:
    """The folder that stands for the image's root, and who runs in it."""

    root: Path
    account: Account | None

    def run(self, *arguments: str | Path, **variables: str) -> subprocess.Popen[str]:
        """Start a program as the image would: no root, its environment and nothing else."""
        environment = {
            name: value.replace("/opt/", f"{self.root}/opt/").replace("/data", f"{self.root}/data")
            for name, value in image_environment().items()
        }
        return subprocess.Popen(
            arguments,
            env={**environment, "PATH": f"{self.root}/{HOME}/bin:/usr/bin:/bin", **variables},
            cwd=self.root / "data",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            user=self.account.uid if self.account else None,
            group=self.account.gid if self.account else None,
            extra_groups=[] if self.account else None,
        )

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.root / HOME / "bin" / "python"

    @property
    def program(self) -> Path:
        """The image's entry point."""
        return self.root / HOME / "bin" / "x07-registry"


def image_environment() -> dict[str, str]:
    """What ENV sets in the Containerfile."""
    (block,) = re.findall(r"^ENV ((?:.*\\\n)*.*)$", CONTAINERFILE, re.MULTILINE)
    return dict(re.findall(r"(\w+)=(\S+)", block))


def copied_into_the_build() -> list[str]:
    """What COPY takes from the repository."""
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", CONTAINERFILE, re.MULTILINE)
    return [name for line in lines for name in line.split()]


def make_reachable(path: Path, account: Account | None) -> None:
    """Let the account pass to what this environment keeps below somebody's home."""
    for directory in path.resolve().parents if account else ():
        if not directory.stat().st_mode & 0o001:
            allow_search(directory, account.uid)


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """The image's layout, made by its steps."""
    account = server_account()
    with tempfile.TemporaryDirectory(prefix="x07-image-") as directory:
        root = Path(directory)
        root.chmod(0o755)
        build(root)
        (root / "data").mkdir()
        if account is not None:
            os.chown(root / "data", account.uid, account.gid)
            for path in (Path(sys.executable), Path(sysconfig.get_path("purelib")) / "x"):
                make_reachable(path, account)
        yield Image(root, account)


def build(root: Path) -> None:
    """RUN and COPY of the first stage."""
    source, home = root / "build", root / HOME
    source.mkdir()
    for name in copied_into_the_build():
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    full = os.environ.get("X07_IMAGE_INSTALL") == "full"
    command([sys.executable, "-m", "venv", *([] if full else ["--without-pip"]), home])
    site = next((home / "lib").glob("python*")) / "site-packages"
    install = ["install", "--quiet", "--no-cache-dir", "--disable-pip-version-check"]
    if full:
        pip = [home / "bin" / "python", "-m", "pip"]
        command([*pip, *install, "--require-hashes", "-r", source / "requirements-image.lock"])
    else:
        # The path only: the .pth files there, which lead back to this repository, are not read.
        (site / "environment.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
        pip = [sys.executable, "-m", "pip", "--python", home / "bin" / "python"]
    command([*pip, *install, "--no-deps", "--no-build-isolation", source])
    shutil.rmtree(source)


def command(arguments: list[Any]) -> None:
    """Run to the end; what it said is in the failure."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run(arguments, check=False, capture_output=True, text=True, env=clean)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_image_runs_its_own_code_and_leaves_out_what_only_developers_need(image: Image) -> None:
    """Not this repository's files, and no tests; migrations and the OpenAPI document are there."""
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
    """What an operator sets, and ports of this test's own."""
    return {
        "X07_REGISTRY_DATABASE_URL": await new_database(),
        "X07_REGISTRY_REDIS_URL": valkey.url,
        "X07_REGISTRY_REDIS_NAMESPACE": image.root.name,
        "X07_REGISTRY_METRICS_BIND": "127.0.0.1:0",
    }


def test_the_migration_job_ends_well(image: Image, variables: dict[str, str]) -> None:
    """Also when there is nothing to do."""
    job = image.run(image.program, "migrate", **variables)
    said, _ = job.communicate(timeout=60)
    assert job.returncode == 0, said


@pytest.mark.parametrize(
    "role", ["serve write --bind 127.0.0.1:0", "serve read --bind 127.0.0.1:0", "worker"]
)
def test_each_role_starts_from_the_image_and_is_healthy(
    image: Image, variables: dict[str, str], role: str
) -> None:
    """The container's own health check says so; it is ready, and ends when it is told to."""
    process = image.run(image.program, *role.split(), **variables)
    try:
        port = until(lambda: operations_port(process), 60)
        health_check(image, port)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as answer:
            assert json.load(answer)["ok"] is True
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()


def operations_port(process: subprocess.Popen[str]) -> int | None:
    """The port that the next line of the process's log names, if it does."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"the role ended with {process.wait()}"
    said = json.loads(line) if line.startswith("{") else {}
    return said["port"] if said.get("event") == "operations_listening" else None


def health_check(image: Image, port: int) -> None:
    """The HEALTHCHECK of the Containerfile, at the port that this process has."""
    (text,) = re.findall(r"^HEALTHCHECK .*\\\n\s+CMD (\[.*\])$", CONTAINERFILE, re.MULTILINE)
    program, *arguments = json.loads(text.replace(":9464", f":{port}"))
    process = image.run(image.root / HOME / "bin" / program, *arguments)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 0, said
