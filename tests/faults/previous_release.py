"""The program before the newest migration, unpacked from the repository's history."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.local.child import ChildProcess
from tests.deploy.expansion import SCRIPTS, revisions
from tests.deploy.processes import COMMAND, environment

ROOT = Path(__file__).parent.parent.parent
STOP_S = 20.0


class NoHistory(Exception):
    """The previous release is not available. The message says why."""


@dataclass(frozen=True)
class PreviousRelease:
    """An unpacked tree. commit: its origin. revision: of the schema that it knows."""

    tree: Path
    commit: str
    revision: str


def unpack_previous_release(directory: Path, repository: Path = ROOT) -> PreviousRelease:
    """The tree of the commit before the one that added the newest migration. Raises NoHistory."""
    if Path(_git(repository, "rev-parse", "--show-toplevel").strip()) != repository.resolve():
        raise NoHistory("this checkout is a folder of another repository")
    newest = revisions()[-1]
    added = next((SCRIPTS / "versions").glob(f"{newest}_*.py")).relative_to(ROOT)
    commit = _git(repository, "log", "--diff-filter=A", "--format=%H", "-n1", "--", str(added)).strip()
    parent = f"{commit}^" if commit else "HEAD"  # a migration that is not committed yet
    base = _git(repository, "rev-parse", "--verify", "--quiet", parent).strip()
    archive = directory / "previous.tar"
    _git(repository, "archive", "--output", str(archive), base)
    tree = directory / "previous"
    tree.mkdir()
    subprocess.run(["tar", "-xf", archive, "-C", tree], check=True)
    archive.unlink()
    versions = tree / (SCRIPTS / "versions").relative_to(ROOT)
    return PreviousRelease(tree, base, max(path.name[:4] for path in versions.glob("[0-9]*.py")))


def _git(repository: Path, *arguments: str) -> str:
    """The output of git. Raises NoHistory if git is missing or has no history here."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        answer = subprocess.run(
            ["git", "-C", repository, *arguments], check=False, capture_output=True, text=True, env=ours
        )
    except FileNotFoundError:
        raise NoHistory("git is not installed") from None
    if answer.returncode != 0:
        said = answer.stderr.strip() or "the history ends before the newest migration (a shallow clone?)"
        raise NoHistory(f"git {arguments[0]}: {said}")
    return answer.stdout


class FromTree:
    """A running command of another tree of this program."""

    def __init__(self, tree: Path, arguments: Sequence[str], variables: Mapping[str, str], log: Path) -> None:
        """variables: its settings. log: receives stdout and stderr."""
        with log.open("wb") as output:
            self._child = ChildProcess(
                [*COMMAND, *arguments],
                death_signal=signal.SIGKILL,
                directory=tree,
                environment=environment(**variables, PYTHONPATH=str(tree)),
                output=output,
            )

    @property
    def is_running(self) -> bool:
        """False after it has ended."""
        return self._child.is_running

    async def ended(self) -> str:
        """Wait for the end. Returns how it ended."""
        return await self._child.ended()

    async def stop(self) -> str:
        """End it with SIGTERM and wait. Returns how it ended."""
        await self._child.stop(signal.SIGTERM, grace_s=STOP_S)
        return await self._child.ended()

    async def kill(self) -> None:
        """End it with SIGKILL."""
        await self._child.stop(signal.SIGKILL, grace_s=STOP_S)
