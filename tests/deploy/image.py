"""The image without a container engine: the steps of the Containerfile in an empty folder.

Installed packages are copied from this environment, unless X07_IMAGE_INSTALL is `full` (`make image-test`):
then they are installed from the lock file, with hashes.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from deploy.local.account import Account, server_account
from deploy.local.posix_acl import allow_search

ROOT = Path(__file__).parents[2]
CONTAINERFILE = (ROOT / "deploy" / "container" / "Containerfile").read_text()
HOME = "opt/x07-registry"


@dataclass
class Image:
    """The folder that represents the image's root, and the user that runs in it."""

    root: Path
    account: Account | None

    def run(
        self, *arguments: str | Path, output: IO[str] | None = None, **variables: str
    ) -> subprocess.Popen[str]:
        """Start a program as the image would: not as root, and with only the image's environment.

        output: receives stdout and stderr; None: a pipe.
        """
        environment = {
            name: value.replace("/opt/", f"{self.root}/opt/").replace("/data", f"{self.root}/data")
            for name, value in image_environment().items()
        }
        return subprocess.Popen(
            arguments,
            env={**environment, "PATH": f"{self.root}/{HOME}/bin:/usr/bin:/bin", **variables},
            cwd=self.root / "data",
            stdout=output or subprocess.PIPE,
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
    """The environment that ENV sets in the Containerfile."""
    (block,) = re.findall(r"^ENV ((?:.*\\\n)*.*)$", CONTAINERFILE, re.MULTILINE)
    return dict(re.findall(r"(\w+)=(\S+)", block))


def copied_into_the_build() -> list[str]:
    """The paths that COPY takes from the repository."""
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", CONTAINERFILE, re.MULTILINE)
    return [name for line in lines for name in line.split()]


def make_reachable(path: Path, account: Account | None) -> None:
    """Give the account access to files of this environment that are below somebody's home."""
    for directory in path.resolve().parents if account else ():
        if not directory.stat().st_mode & 0o001:
            allow_search(directory, account.uid)


@contextmanager
def built_image() -> Iterator[Image]:
    """The image's layout, built by the image's own steps."""
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
    """The RUN and COPY steps of the first stage."""
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
    """Run a command to its end; a failure has its output."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run(arguments, check=False, capture_output=True, text=True, env=clean)
    assert result.returncode == 0, result.stdout + result.stderr
