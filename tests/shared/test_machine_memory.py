"""The memory that a process may use is that of the machine, or of the container around it."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.machine_memory import UNKNOWN_BYTES, memory_bytes
from shared.settings import Settings

GIB = 1 << 30


def write(root: Path, path: str, text: str) -> None:
    """A file below the root."""
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


@pytest.mark.parametrize(
    ("own", "around", "expected"),
    [("max", "max", 8 * GIB), (f"{GIB}\n", "max", GIB), ("max", f"{2 * GIB}\n", 2 * GIB)],
)
def test_the_least_limit_counts(tmp_path: Path, own: str, around: str, expected: int) -> None:
    """A service may have a limit of its own, or the machine's part that it runs in."""
    write(tmp_path, "proc/meminfo", f"MemTotal: {8 * GIB // 1024} kB\nMemFree: 1 kB\n")
    write(tmp_path, "proc/self/cgroup", "0::/system.slice/reader.service\n")
    write(tmp_path, "sys/fs/cgroup/system.slice/reader.service/memory.max", own)
    write(tmp_path, "sys/fs/cgroup/system.slice/memory.max", around)
    assert memory_bytes(tmp_path) == expected


def test_a_machine_that_tells_nothing_is_taken_for_a_small_one(tmp_path: Path) -> None:
    """Not every system has /proc."""
    assert memory_bytes(tmp_path) == UNKNOWN_BYTES


def test_the_cache_of_a_reader_is_as_set_or_a_part_of_the_memory() -> None:
    """It is bounded, so that a small machine has enough left, and a large one many readers."""
    assert Settings(read_cache_bytes=5_000_000).cache_bytes == 5_000_000
    assert Settings(read_cache_bytes=0).cache_bytes == 0
    assert (1 << 25) <= Settings().cache_bytes <= GIB
