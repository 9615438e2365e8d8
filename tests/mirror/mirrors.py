"""The mirror command, and the client that reads a mirror."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.conftest import SIGNING, MakeSettings
from tests.deploy.forked_commands import run
from tests.log.logs import LOGGING
from tests.stack import Registry, running_registry


@asynccontextmanager
async def running_at_its_base(
    make_settings: MakeSettings, *, with_worker: bool = True, **overrides: Any
) -> AsyncIterator[Registry]:
    """A registry that signs and logs, at the address in its own config.json."""
    listener = socket.create_server(("127.0.0.1", 0))
    base = f"http://127.0.0.1:{listener.getsockname()[1]}"
    settings = await make_settings(**{"public_base": base, **SIGNING, **LOGGING, **overrides})
    async with running_registry(settings, listener=listener, with_worker=with_worker) as running:
        yield running


async def mirror(*arguments: str | Path, prepare: Callable[[], None] | None = None) -> tuple[int, Any]:
    """Exit status, JSON and stderr of `x07-registry mirror`.

    prepare: called in the command's process.
    """
    answer = await asyncio.to_thread(run, "mirror", *map(str, arguments), "--json", prepare=prepare)
    return answer.returncode, {**json.loads(answer.stdout), "stderr": answer.stderr}


def tree_of(root: Path) -> dict[str, bytes]:
    """Every file of a mirror that readers may request."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for folder in ("index", "dl", "log")
        for path in sorted((root / folder).rglob("*"))
        if path.is_file()
    }
