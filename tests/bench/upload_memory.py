"""The memory that 8 simultaneous uploads of 60 MiB cost the write process."""

from __future__ import annotations

import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

from tests.archives import END, entry, hello_manifest, json_bytes, listed_files
from tests.archives import header as tar_header
from tests.bench.measure import TIMEOUT_S, archive_of, print_table
from tests.deploy.processes import Up

PUBLISHERS = 8
ARCHIVE_MIB = 60
CHUNK = 1 << 20
WARM_UP = 20
AIM_MIB = 64.0
RESET_PEAK = "5"  # written to clear_refs, sets VmHWM to VmRSS


def main() -> None:
    """Print resident memory before, its peak, and after; twice for the same process."""
    with tempfile.TemporaryDirectory(prefix="x07-bench-") as directory:
        up = Up(Path(directory) / "registry")
        try:
            rows = [_round(up, Path(directory), number) for number in (1, 2)]
        finally:
            up.stop()
    growth = max(peak - before for before, peak, _ in rows)
    table = [
        [f"round {number}", *(f"{value:.1f}" for value in (before, peak, peak - before, after))]
        for number, (before, peak, after) in enumerate(rows, 1)
    ]
    verdict = "met" if growth < AIM_MIB else "MISSED"
    total = PUBLISHERS * ARCHIVE_MIB
    notes = [
        f"bytes posted at once: {total} MiB; growth is {growth / total:.0%} of that (100%: all held)",
        f"aim: growth below {AIM_MIB:.0f} MiB: {verdict}, the worse round counts",
        f"before: after {WARM_UP} publishes of 24 KB; peak: VmHWM of the `serve` process, then reset",
    ]
    columns = ["MiB", "before", "peak", "growth", "after"]
    title = f"{PUBLISHERS} publishers post {ARCHIVE_MIB} MiB each at once"
    print_table(title, "upload_memory", columns, table, notes)


def _round(up: Up, directory: Path, number: int) -> tuple[float, float, float]:
    """Resident MiB of the process before, at the peak, and after."""
    for place in range(WARM_UP):
        name = f"small-{number}-{place}"
        body = archive_of(name)
        _post(up, body, len(body))
    archives = [_big_archive(directory, f"big-{number}-{place}") for place in range(PUBLISHERS)]
    pid = up.pid_of(" serve ")
    assert pid is not None, "there is no serve process"
    before = _mib(pid, "VmRSS")
    Path(f"/proc/{pid}/clear_refs").write_text(RESET_PEAK)
    gate = threading.Barrier(PUBLISHERS)

    def post(path: Path) -> None:
        gate.wait()
        with path.open("rb") as file:
            _post(up, file, path.stat().st_size)

    with ThreadPoolExecutor(PUBLISHERS) as threads:
        list(threads.map(post, archives))
    for path in archives:
        path.unlink()
    assert up.pid_of(" serve ") == pid, "the process was replaced meanwhile"
    return before, _mib(pid, "VmHWM"), _mib(pid, "VmRSS")


def _post(up: Up, body: object, size: int) -> None:
    """Publish. Raises RuntimeError if the publish is refused."""
    connection = HTTPConnection(up.url.removeprefix("http://"), timeout=TIMEOUT_S)
    headers = {"authorization": f"Bearer {up.token}", "content-length": str(size)}
    connection.request("POST", "/v1/packages/publish", body, headers)  # type: ignore[arg-type]
    response = connection.getresponse()
    answer = response.read()
    connection.close()
    if response.status != 200:
        raise RuntimeError(f"{response.status} {answer[:300]!r}")


def _big_archive(directory: Path, name: str) -> Path:
    """An archive of just under ARCHIVE_MIB on disk: a real package and one big file."""
    manifest, path = hello_manifest(name), directory / f"{name}.tar"
    files = {**listed_files(manifest), "x07-package.json": json_bytes(manifest)}
    size = (ARCHIVE_MIB - 1) * CHUNK
    with path.open("wb") as file:
        for listed, data in files.items():
            file.write(entry(listed, data))
        file.write(tar_header(b"data/big", size))
        for _ in range(size // CHUNK):
            file.write(bytes(CHUNK))
        file.write(END)
        file.write(bytes(ARCHIVE_MIB * CHUNK - file.tell()))
    return path


def _mib(pid: int, field: str) -> float:
    """A field of /proc/PID/status, in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))


if __name__ == "__main__":
    main()
