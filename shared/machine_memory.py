"""How much memory this process may use: that of the machine, or of the container around the process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

# Where neither /proc nor a control group tells.
UNKNOWN_BYTES: Final = 1 << 30


def memory_bytes(root: Path = Path("/")) -> int:
    """The least of the machine's memory and the limits of the process's control groups, in bytes.

    root: the folder that has proc/ and sys/.
    """
    return min([*_machine(root), *_limits(root)], default=UNKNOWN_BYTES)


def _machine(root: Path) -> Iterator[int]:
    with suppress(OSError, ValueError):
        for line in (root / "proc/meminfo").read_text().splitlines():
            if line.startswith("MemTotal:"):
                yield int(line.split()[1]) * 1024


def _limits(root: Path) -> Iterator[int]:
    """The limits of control groups v2: that of the process, and those around it."""
    groups = root / "sys/fs/cgroup"
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            hierarchy, _, own = line.partition("::")
            if hierarchy == "0":
                group = groups / own.lstrip("/")
                for folder in (group, *group.parents):
                    if folder.is_relative_to(groups):
                        yield from _limit(folder)


def _limit(folder: Path) -> Iterator[int]:
    """The limit of one control group; none if it says `max`."""
    with suppress(OSError, ValueError):
        yield int((folder / "memory.max").read_text())
