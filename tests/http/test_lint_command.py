"""Publishing with an external linter: real programs that report, hang, crash and escape."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from api.write.archive.linter_process import isolation
from shared.settings import load_settings
from shared.variables import SettingsError
from tests.archives import hello_archive
from tests.conftest import MakeSettings
from tests.deploy.processes import is_alive
from tests.stack import Registry, eventually, running_registry

Lint = Callable[..., Awaitable[tuple[Registry, httpx.Response]]]

FINDS = """
import json, sys
file, world = sys.argv[1:]
module = json.load(open(file))["module_id"]
def say(*found):
    print(json.dumps({"schema_version": "x07.x07diag@0.1.0", "diagnostics": list(found)}))
    sys.exit(1 if any(f["severity"] == "error" for f in found) else 0)
def error(code, ptr=None, severity="error"):
    loc = {} if ptr is None else {"loc": {"kind": "x07ast", "ptr": ptr}}
    return {"code": code, "message": "it is\\nwrong", "severity": severity, "stage": "lint", **loc}
"""
SHELLS_OWN = {"LC_CTYPE", "PWD", "SHLVL", "_", "OLDPWD"}
REFUSED = "X07REG_PUBLISH_LINT_FAILED"


@pytest_asyncio.fixture
async def lint(make_default_settings: MakeSettings, tmp_path: Path) -> AsyncIterator[Lint]:
    """Publish a package to a registry whose linter is a Python program. Returns registry and answer."""
    async with AsyncExitStack() as stack:

        async def publish(
            program: str,
            *,
            meta: dict[str, Any] | None = None,
            modules: tuple[str, ...] = ("greeting",),
            **values: Any,
        ) -> tuple[Registry, httpx.Response]:
            settings = await make_default_settings(
                publish_wait_seconds=0,
                **{"lint_command": linter(tmp_path, program), "lint_seconds": 20.0, **values},
            )
            registry = await stack.enter_async_context(running_registry(settings, with_worker=False))
            archive = hello_archive(
                modules=list(modules), meta={"x07c_compat": ">=0.1.111 <0.3.0", **(meta or {})}
            )
            return registry, await registry.publish(archive, await registry.add_publisher())

        yield publish


def linter(directory: Path, program: str) -> str:
    """The command of a linter that is this Python program."""
    path = directory / "linter"
    path.write_text(f"#!{sys.executable}\n{program}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return f"'{path}' {{file}} {{world}}"


async def assert_nothing_is_left(registry: Registry) -> None:
    """No private folder, process, row or staged file is left."""
    assert list(registry.settings.spool_dir.iterdir()) == []
    assert await registry.rows("SELECT 1 FROM package_versions") == []
    assert await registry.keys() == []


async def test_a_clean_module_is_published_and_the_linter_sees_only_what_it_may(
    lint: Lint, tmp_path: Path
) -> None:
    """It sees the module, its world and a private folder, but no secret of the server and no network."""
    seen = tmp_path / "seen"
    program = f"""
import os, socket, sys
file, world = sys.argv[1:]
interfaces = [name for _, name in socket.if_nameindex()]
mode = oct(os.stat(".").st_mode)[-3:]
with open({str(seen)!r}, "a") as log:
    print(os.path.relpath(file), world, mode, sorted(set(os.environ) - {SHELLS_OWN!r}),
          interfaces, open(file).read()[:20], sep="|", file=log)
"""
    registry, answer = await lint(program, meta={"worlds_allowed": ["solve-pure", "run-os"]})
    assert answer.status_code == 200, answer.text
    lines = [line.split("|") for line in seen.read_text().splitlines()]
    assert sorted(line[:4] for line in lines) == [
        ["modules/greeting.x07.json", world, "700", "['HOME', 'PATH', 'TMPDIR']"]
        for world in ("run-os", "solve-pure")
    ]
    assert all(line[5].startswith('{"schema_version"') for line in lines)
    if isolation():
        assert all(line[4] == "['lo']" for line in lines)
    assert list(registry.settings.spool_dir.iterdir()) == []


async def test_findings_come_back_in_the_contracts_words(lint: Lint) -> None:
    """They are sorted and unique, without warnings; a missing pointer is left out."""
    program = (
        FINDS
        + """
say(error("X07-TYPE-0002", "/decls/1"), error("X07-TYPE-0001"), error("X07-TYPE-0002", "/decls/1"),
    error("X07-BOOL-0001", severity="warning"))
"""
    )
    registry, answer = await lint(program)
    assert (answer.status_code, answer.json()["code"]) == (400, REFUSED)
    assert answer.json()["message"].splitlines() == [
        "x07AST lint failed (4 error(s)).",
        "[solve-full] greeting: X07-TYPE-0001 it is wrong",
        "[solve-full] greeting: X07-TYPE-0002 it is wrong at /decls/1",
        'module "greeting" failed x07c lint in all allowed worlds',
        "[solve-full] <manifest>: no modules passed x07c lint",
    ]
    await assert_nothing_is_left(registry)


async def test_a_module_must_be_clean_in_one_world_and_each_world_needs_a_clean_module(lint: Lint) -> None:
    """The rule is that of the built-in checks: errors in one world do not count if another is clean."""
    program = (
        FINDS
        + """
wants = {"a": "run-os", "b": "solve-pure"}[module]
say(*([] if world == wants else [error("X07-WORLD-OS-0001", "/imports")]))
"""
    )
    worlds = {"worlds_allowed": ["run-os", "solve-pure"]}
    _, answer = await lint(program, modules=("a", "b"), meta=worlds)
    assert answer.status_code == 200, answer.text
    _, answer = await lint(program, modules=("a",), meta=worlds)
    assert answer.json()["message"].splitlines() == [
        "x07AST lint failed (1 error(s)).",
        "[solve-pure] <manifest>: no modules passed x07c lint",
    ]


@pytest.mark.parametrize(
    ("program", "values", "told"),
    [
        ("import time; time.sleep(600)", {"lint_seconds": 0.1}, "did not finish in time"),
        ("while True: pass", {"lint_seconds": 1.0}, "used more than 1 s of processor time"),
        ("while True: print('x' * 4096)", {}, "wrote more than 1048576 bytes"),
        ("import sys\nwhile True: print('x' * 4096, file=sys.stderr)", {}, "wrote more than 1048576 bytes"),
    ],
    ids=["hangs", "computes for ever", "floods stdout", "floods stderr"],
)
async def test_a_linter_that_takes_too_much_is_cut_off(
    lint: Lint, program: str, values: dict[str, Any], told: str
) -> None:
    """The publisher is told, because another attempt would end the same way."""
    registry, answer = await lint(program, **values)
    assert (answer.status_code, answer.json()["code"]) == (400, REFUSED)
    assert answer.json()["message"] == (
        f"x07AST lint failed (1 error(s)).\n[solve-full] greeting: the linter {told}"
    )
    await assert_nothing_is_left(registry)


FAILS = {
    "crashes": "import ctypes; ctypes.string_at(0)",
    "is killed": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "was called wrongly": "import sys; sys.exit(2)",
    "found nothing, it says": "import sys; sys.exit(1)",
    "makes no report": "print('all is well')",
    "raises": "raise RuntimeError('broken')",
    "hogs memory": "hog = bytearray(4 << 30)",
    "fills the disk": "open('big', 'wb').write(bytes(100 << 20))",
}


async def test_a_linter_that_fails_is_the_operators_trouble(lint: Lint, tmp_path: Path) -> None:
    """Nothing is published; the answer is 500, and the log has the linter's output."""
    registry, answer = await lint("", lint_memory_bytes=512 << 20)
    assert answer.status_code == 200
    publisher = await registry.add_publisher("bob")
    for how, program in FAILS.items():
        linter(tmp_path, program)
        answer = await registry.publish(hello_archive("other"), publisher)
        assert (answer.status_code, answer.json()["code"]) == (500, "X07REG_INTERNAL"), how
    assert list(registry.settings.spool_dir.iterdir()) == []
    assert len(await registry.rows("SELECT 1 FROM package_versions")) == 1


async def test_what_a_linter_leaves_running_is_killed(lint: Lint, tmp_path: Path) -> None:
    """A child in its process group and, with a process id namespace, one that left the group."""
    left = tmp_path / "left"
    program = f"""
import os, time
for leaves in (False, True):
    if os.fork() == 0:
        if leaves:
            os.setsid()
        os.close(1); os.close(2)
        with open({str(left)!r} + str(int(leaves)), "w") as file:
            file.write(os.readlink("/proc/self") if os.path.exists("/proc/self") else "")
        time.sleep(600)
while not all(os.path.exists({str(left)!r} + n) for n in "01"):
    time.sleep(0.01)
"""
    registry, answer = await lint(program)
    assert answer.status_code == 200, answer.text
    mark = str(tmp_path / "linter")

    async def is_quiet() -> bool:
        return not [pid for pid in _processes_of(mark) if is_alive(pid)]

    if "--pid" in isolation():
        await eventually(is_quiet)
    assert list(registry.settings.spool_dir.iterdir()) == []


def _processes_of(mark: str) -> list[int]:
    found = []
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            if mark in Path(f"/proc/{pid}/cmdline").read_text():
                found.append(int(pid))
        except OSError:
            continue
    return found


async def test_runs_are_bounded_for_the_whole_server(lint: Lint, tmp_path: Path) -> None:
    """No more run at once than the setting allows, however many worlds and modules there are."""
    running = tmp_path / "running"
    running.mkdir()
    program = f"""
import os, time
mark = os.path.join({str(running)!r}, os.urandom(8).hex())
open(mark, "w").close()
time.sleep(0.05)
at_once = len(os.listdir({str(running)!r}))
os.unlink(mark)
assert at_once <= 2, at_once
"""
    worlds = ["solve-pure", "solve-fs", "solve-kv", "solve-rr", "solve-full", "run-os"]
    _, answer = await lint(program, meta={"worlds_allowed": worlds}, lint_processes=2)
    assert answer.status_code == 200, answer.text


async def test_a_program_that_is_not_there_stops_the_start(lint: Lint) -> None:
    """Otherwise the first publish would reveal it."""
    with pytest.raises(SettingsError, match='LINT_COMMAND: there is no program "x07-nowhere" on PATH'):
        await lint("", lint_command="x07-nowhere {file} {world}")


@pytest.mark.parametrize(
    "line", ["x07 lint {file}", "x07 lint {world}", "x07 'lint {file} {world}", "{file} {world}"]
)
def test_a_command_line_needs_both_placeholders(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    """The start fails with the variable's name."""
    monkeypatch.setenv("X07_REGISTRY_LINT_COMMAND", line)
    with pytest.raises(SettingsError, match="X07_REGISTRY_LINT_COMMAND"):
        load_settings()
