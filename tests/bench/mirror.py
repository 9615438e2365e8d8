"""A mirror over HTTP: its first run beside `export` and `wget --mirror` of the same tree; changes."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from tests.bench.measure import print_table
from tests.bench.mirror_origin import VERSIONS, BenchOrigin
from tests.bench.search import package_names
from tests.deploy.processes import COMMAND, environment, until
from tests.edge.nginx import DIRECTIVES, free_port, nginx_program

PACKAGES = int(os.environ.get("X07_BENCH_PACKAGES", "1000"))
ARCHIVE_BYTES = 8 << 10
CHANGES = 1_000
SINGLE_CHANGES = 30
DEADLINE_S = 500.0

NGINX = """
worker_processes 1; pid {work}/pid; error_log stderr; events {{}}
http {{
    access_log off; autoindex on; keepalive_requests 1000000; tcp_nodelay on;
    client_body_temp_path {work}/body; proxy_temp_path {work}/proxy; fastcgi_temp_path {work}/fastcgi;
    uwsgi_temp_path {work}/uwsgi; scgi_temp_path {work}/scgi;
    server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


def main() -> None:
    """Print both tables."""
    with tempfile.TemporaryDirectory(prefix="x07-bench-") as directory:
        work = Path(directory)
        port, tree = free_port(), work / "tree"
        base = f"http://127.0.0.1:{port}"
        names = package_names(PACKAGES + CHANGES + SINGLE_CHANGES)
        origin = BenchOrigin(tree, base, ARCHIVE_BYTES)
        origin.publish(names[:PACKAGES])
        with _serving(tree, port, work):
            _first_runs(work, tree, base)
            _followed(work, origin, base, names[PACKAGES:])


@contextmanager
def _serving(tree: Path, port: int, work: Path) -> Iterator[None]:
    configuration = work / "nginx.conf"
    configuration.write_text(NGINX.format(work=work, port=port, root=tree))
    command = [nginx_program(), "-p", f"{work}/", "-c", str(configuration), "-g", DIRECTIVES]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        until(lambda: _answers(port))
        yield
    finally:
        process.terminate()
        process.wait(10)


def _answers(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/index/config.json", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _first_runs(work: Path, tree: Path, base: str) -> None:
    """Run each one into a folder of its own, one after another."""
    made = work / "mirror"
    mirror = [*COMMAND, "mirror", base, str(made), "--rate", "0"]
    export = [*COMMAND, "export", str(work / "export")]
    wget = ["wget", "--mirror", "--no-parent", "--no-host-directories", "--quiet", "--reject", "index.html*"]
    wget += ["--execute", "robots=off", "--directory-prefix", str(work / "wget")]
    settings = {"X07_REGISTRY_STORAGE": "fs", "X07_REGISTRY_DATA_DIR": str(tree)}
    folders = [f"{base}/{folder}/" for folder in ("index", "dl", "log")]
    rows = [
        _row("`mirror`, first run", made, lambda: _run(mirror)),
        _row("`mirror`, nothing new", made, lambda: _run(mirror)),
        _row("`export` of the same tree", work / "export", lambda: _run(export, **settings)),
        _row("`wget --mirror` of the same tree", work / "wget", lambda: _run([*wget, *folders])),
    ]
    files = sum(1 for path in tree.rglob("*") if path.is_file())
    notes = [
        f"{PACKAGES:,} packages of {len(VERSIONS)} versions, archives of {ARCHIVE_BYTES >> 10} KiB",
        f"{files:,} files; nginx serves them, over loopback",
        "`mirror` and `export` check each file and sync it to the disk; wget does neither",
        f"load {os.getloadavg()[0]:.1f}",
    ]
    columns = ["", "s", "files a s", "CPU s"]
    print_table("first run of a mirror", "mirror", columns, rows, notes)
    shutil.rmtree(work / "wget")
    shutil.rmtree(work / "export")


def _row(what: str, made: Path, run: Callable[[], tuple[float, float]]) -> list[str]:
    wall_s, cpu_s = run()
    files = sum(1 for path in made.rglob("*") if path.is_file())
    return [what, f"{wall_s:.1f}", f"{files / wall_s:,.0f}", f"{cpu_s:.1f}"]


def _run(command: Sequence[str], **variables: str) -> tuple[float, float]:
    """Wall and processor time in seconds.

    The kernel's peak memory of a command would include this process, from which the command was started.
    """
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        command, env=environment(**variables), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wall_s, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall_s, cpu_s


def _followed(work: Path, origin: BenchOrigin, base: str, names: Sequence[str]) -> None:
    """Publish a day's changes at once, then one at a time, and time the follower."""
    made = work / "mirror"
    command = [*COMMAND, "mirror", base, str(made), "--follow", "--rate", "0"]
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL, stderr=sys.stderr)
    try:
        until(lambda: (made / ".x07-mirror/state.json").exists())
        size = _size(made)
        origin.publish(names[:CHANGES], VERSIONS[:1])
        burst_s = _until_size(made, size + CHANGES)
        delays = []
        for number, name in enumerate(names[CHANGES : CHANGES + SINGLE_CHANGES], 1):
            time.sleep(0.37 * (number % 5) / 2)  # out of step with the follower
            origin.publish([name], VERSIONS[:1])
            delays.append(_until_size(made, size + CHANGES + number))
    finally:
        process.terminate()
        process.wait(30)
    delays.sort()
    rows = [
        [f"{CHANGES:,} changes at once", f"{burst_s:.1f} s", f"{CHANGES / burst_s:,.0f} a second"],
        ["one change: p50", f"{delays[len(delays) // 2]:.2f} s", ""],
        ["one change: p99", f"{delays[int(len(delays) * 0.99)]:.2f} s", f"worst {delays[-1]:.2f} s"],
    ]
    notes = [
        "from the origin's new checkpoint to the mirror's, which comes last",
        f"load {os.getloadavg()[0]:.1f}",
    ]
    print_table("`mirror --follow`", "mirror", ["", "behind", ""], rows, notes)


def _size(made: Path) -> int:
    return int((made / "log/checkpoint").read_bytes().split(b"\n")[1])


def _until_size(made: Path, size: int) -> float:
    """Seconds until the mirror has this many entries."""
    began = time.perf_counter()
    until(lambda: _size(made) >= size, DEADLINE_S)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
