"""A process that checks one archive after another: `python -m api.write.archive.check_process`.

An archive that takes too much time or memory, or crashes the process, disturbs no other work, and the process
has no secrets. A message is its length in four bytes and then msgpack. The process ends when its input ends.
"""

from __future__ import annotations

import resource
import signal
import sys
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from api.write.archive.check import CheckedArchive, check_archive
from shared import publish_errors
from shared.errors import RegistryError
from shared.manifest import Manifest
from shared.publish_errors import BadArchive
from shared.scale import Scale

LENGTH_BYTES: Final = 4
READY: Final = "ready"
# The largest modules take a fifth of this (check.py).
MEMORY_BYTES: Final = 1 << 30


class Task(msgspec.Struct, frozen=True):
    """An archive to check. limit_s: processor time in seconds. hosts, buckets: as for check_archive."""

    path: str
    limit_s: float
    hosts: tuple[str, ...]
    buckets: tuple[str, ...]


class Refusal(msgspec.Struct, frozen=True, tag="refusal"):
    """The archive is refused. error: the name of a class in shared/publish_errors.py."""

    error: str
    message: str


class Accepted(msgspec.Struct, frozen=True, tag="accepted"):
    """The archive may be published. The fields are those of CheckedArchive, as plain values."""

    archive: dict[str, Any]


def frame(message: Any) -> bytes:
    """Encode a message for a pipe."""
    body = msgspec.msgpack.encode(message)
    return len(body).to_bytes(LENGTH_BYTES) + body


def parse_outcome(body: bytes) -> CheckedArchive:
    """Decode an answer. Returns the checked archive, or raises the refusal."""
    outcome: Accepted | Refusal = msgspec.msgpack.decode(body, type=Accepted | Refusal)
    if isinstance(outcome, Refusal):
        error: type[RegistryError] = getattr(publish_errors, outcome.error)
        raise error(outcome.message)
    archive = outcome.archive
    manifest, scale = archive["manifest"], archive["scale"]
    return CheckedArchive(
        name=archive["name"],
        version=archive["version"],
        worlds=tuple(archive["worlds"]),
        manifest=Manifest(**{**manifest, "modules": tuple(manifest["modules"])}),
        scale=Scale(**{**scale, "classes": tuple(scale["classes"])}),
    )


def main() -> None:
    """Check archives until the input ends. A check that exceeds its time ends the process with SIGPROF."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # end without a traceback when the parent was killed
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    _write(sys.stdout.buffer, frame(READY))
    while head := sys.stdin.buffer.read(LENGTH_BYTES):
        task = msgspec.msgpack.decode(sys.stdin.buffer.read(int.from_bytes(head)), type=Task)
        signal.setitimer(signal.ITIMER_PROF, task.limit_s)
        answer = frame(_outcome(task))
        signal.setitimer(signal.ITIMER_PROF, 0)
        _write(sys.stdout.buffer, answer)


def _outcome(task: Task) -> Accepted | Refusal:
    try:
        checked = check_archive(Path(task.path), allowed_hosts=task.hosts, allowed_buckets=task.buckets)
        return Accepted(msgspec.to_builtins(checked))
    except RegistryError as error:
        return Refusal(type(error).__name__, error.message)
    except MemoryError:
        return Refusal(BadArchive.__name__, "the archive takes too much memory to check")


def _write(stream: BinaryIO, data: bytes) -> None:
    stream.write(data)
    stream.flush()


if __name__ == "__main__":
    main()
