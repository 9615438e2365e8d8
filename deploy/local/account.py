"""The system user that runs the embedded servers when `up` runs as root, and the folders that it may enter.

Postgres refuses to run as root. When `up` does not run as root, there is no such user: the servers run as the
user who started `up`.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from deploy.errors import StartFailed
from deploy.local.posix_acl import allow_search, allows_search
from shared.storage.durable import opened

NAME = "x07-registry"
ACCOUNTS = "/etc"
"""The folder of the files that useradd changes; processes that add the user lock it."""
ADMIN_PATH = "/usr/sbin:/sbin:/usr/bin:/bin"
READ_AND_PASS = stat.S_IRGRP | stat.S_IROTH | stat.S_IXGRP | stat.S_IXOTH
READ = stat.S_IRGRP | stat.S_IROTH


@dataclass(frozen=True, slots=True)
class Account:
    """A system user, with its numeric ids."""

    uid: int
    gid: int


def server_account() -> Account | None:
    """The user who runs the embedded servers, created if missing; None for the current user.

    Raises StartFailed.
    """
    if os.geteuid() != 0:
        return None
    entry = _entry()
    if entry is None:
        with _adding_users():
            entry = _entry() or _add_user()
    return Account(entry.pw_uid, entry.pw_gid)


def _entry() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(NAME)
    except KeyError:
        return None


@contextmanager
def _adding_users() -> Iterator[None]:
    """Let one process at a time add the user.

    Of two useradd that run at the same time, each may find no such user, and the second gives the user of the
    first another id.
    """
    with opened(ACCOUNTS, os.O_RDONLY) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


def _add_user() -> pwd.struct_passwd:
    useradd = shutil.which("useradd", path=ADMIN_PATH)
    if useradd is None:
        raise StartFailed(
            f"Postgres does not run as root: create a system user {NAME}, or do not start as root"
        )
    _announce(f"adding the system user {NAME}, who runs Postgres and Valkey; Postgres does not run as root")
    options = ["--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin"]
    result = subprocess.run([useradd, *options, NAME], check=False, capture_output=True, text=True)
    entry = _entry()
    if entry is None:
        raise StartFailed(f"cannot add the system user {NAME}: {result.stderr.strip()}")
    return entry


def make_private_directory(path: Path, account: Account | None) -> None:
    """Create a directory that only the account may enter, and let the account pass through its parents."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if account is not None:
        os.chown(path, account.uid, account.gid)
        _make_reachable(path, account)


def installed_package(name: str, account: Account | None) -> Path:
    """The directory of an installed package of programs, made accessible to the account. Raises StartFailed.

    The package is not imported, because only its programs are needed.
    """
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise StartFailed(f"the package {name} is not installed; install x07-registry[local]")
    package = Path(spec.origin).resolve().parent
    if account is not None:
        for tree in (package, package.with_name(f"{name}.libs")):
            _make_readable(tree)
        _make_reachable(package, account)
    return package


def _make_reachable(path: Path, account: Account) -> None:
    """Let only the account pass through each directory above path that is closed to it."""
    for directory in path.resolve().parents:
        if allows_search(directory, account.uid, account.gid):
            continue
        _announce(f"letting the user {NAME} pass through {directory} (as setfacl -m u:{NAME}:x does)")
        try:
            allow_search(directory, account.uid)
        except OSError as error:
            raise StartFailed(
                f"the user {NAME}, who runs Postgres, cannot pass through {directory} ({error.strerror}); "
                f"run `chmod o+x {directory}`, or keep the data and this installation elsewhere"
            ) from None


def _announce(text: str) -> None:
    """Tell the person of a change to this machine, outside the data directory, before it is made."""
    print(f"x07-registry: {text}", file=sys.stderr, flush=True)


def _make_readable(tree: Path) -> None:
    """Make an installation that was created under a private umask readable.

    The top directory comes last, so that its mode shows that the rest is done.
    """
    if not tree.exists() or tree.stat().st_mode & READ_AND_PASS == READ_AND_PASS:
        return
    for path in (*tree.rglob("*"), tree):
        mode = path.stat().st_mode
        path.chmod(stat.S_IMODE(mode) | (READ_AND_PASS if mode & stat.S_IXUSR else READ))
