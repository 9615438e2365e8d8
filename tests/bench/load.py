"""Load by wrk on one core, and the cost for a server on another: rate, latency, processor time, memory."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.deploy.processes import descendants

SERVER_CORE, CLIENT_CORE = 0, max(0, (os.cpu_count() or 1) - 1)
CONNECTIONS = 32
# What the command line sends with every request (contract, 10.1).
CLIENT_HEADERS = {
    "User-Agent": "ureq/3.1.2",
    "Accept": "*/*",
    "Accept-Encoding": "gzip",
    "Authorization": "Bearer x07t_0123456789abcdef0123456789abcdef0123456789abcdef",
}
DONE = """
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format("RESULT %d %d %d %.1f %.1f %.1f\\n", summary.requests, summary.duration,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
"""
MANY = """
local requests, at = {}, 0
function init(args)
  local file = assert(io.open(args[1], "rb"))
  for one in file:read("*a"):gmatch("[^%z]+") do requests[#requests + 1] = one end
end
function request()
  at = at % #requests + 1
  return requests[at]
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """One run. cpu_us: of the server, per request. client: the share of its core that wrk used, 0 to 1."""

    per_second: float
    cpu_us: float
    client: float
    p50_us: float
    p99_us: float
    p999_us: float
    errors: int

    @property
    def is_bound_by_client(self) -> bool:
        """True if wrk used its whole core: the server could then be faster than the rate."""
        return self.client > 0.95


def require_wrk() -> None:
    """End the program if wrk is missing."""
    if shutil.which("wrk") is None:
        sys.exit("MISSING: wrk is not on the PATH (apt-get install wrk); nothing can be measured without it")


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Run everything that is started in the block on this core alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def one_request(path: str, headers: dict[str, str] | None = None) -> list[bytes]:
    """The same request repeatedly, as the command line sends it."""
    return [_rendered(path, {**CLIENT_HEADERS, **(headers or {})})]


def many_requests(paths: Sequence[str], count: int, first: int = 0) -> list[bytes]:
    """Requests for these paths in turn, each with a header block of its own, like those of many clients."""
    return [
        _rendered(
            paths[number % len(paths)],
            {
                **CLIENT_HEADERS,
                "User-Agent": f"ureq/3.{number % 7}.{number % 13}",
                "Authorization": f"Bearer x07t_{number + first:048x}",
            },
        )
        for number in range(count)
    ]


def _rendered(path: str, headers: dict[str, str]) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "Host: registry.example", *(f"{key}: {headers[key]}" for key in headers)]
    return "\r\n".join([*lines, "", ""]).encode()


def wrk(
    address: str,
    process: subprocess.Popen[bytes],
    requests: Sequence[bytes],
    directory: Path,
    *,
    seconds: float,
    connections: int = CONNECTIONS,
    core: int = CLIENT_CORE,
) -> Load:
    """Send requests for some time over kept-alive connections. process: the server's first.

    Raises RuntimeError.
    """
    script, file = directory / "load.lua", directory / "requests"
    script.write_text(_constant(requests[0]) if len(requests) == 1 else MANY + DONE)
    file.write_bytes(b"\0".join(requests))
    command = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{seconds:.0f}s",
        "-s",
        script,
        f"http://{address}/",
        file,
    ]
    server_s, client_s, began = cpu_s(process), _children_s(), time.monotonic()
    with on_core(core):
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + 60)
    wall_s, client_s = time.monotonic() - began, _children_s() - client_s
    server_s = cpu_s(process) - server_s
    result = next((line.split()[1:] for line in done.stdout.splitlines() if line.startswith("RESULT")), None)
    if result is None:
        raise RuntimeError(f"wrk ended with {done.returncode}: {done.stdout[-300:]} {done.stderr[-300:]}")
    count, duration_us, errors = (int(value) for value in result[:3])
    p50, p99, p999 = (float(value) for value in result[3:])
    per_second = count / duration_us * 1e6
    return Load(per_second, server_s / max(count, 1) * 1e6, client_s / wall_s, p50, p99, p999, errors)


def _constant(request: bytes) -> str:
    """A script without a request function, so that wrk builds the bytes only once."""
    line, *headers = request.decode().split("\r\n\r\n")[0].split("\r\n")
    pairs = [header.partition(": ") for header in headers]
    table = "".join(f'wrk.headers["{name}"] = {value!r}\n' for name, _, value in pairs)
    return f'wrk.path = "{line.split()[1]}"\n{table}{DONE}'


def cpu_s(process: subprocess.Popen[bytes]) -> float:
    """Processor seconds of a process and its descendants so far."""
    ticks = 0
    for pid in (process.pid, *descendants(process.pid)):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def rss_mib(process: subprocess.Popen[bytes], field: str = "VmHWM") -> float:
    """Resident memory of a process and its descendants in MiB: the peak, or the present value (VmRSS)."""
    kib = 0
    for pid in (process.pid, *descendants(process.pid)):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        kib += sum(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))
    return kib / 1024


def _children_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
