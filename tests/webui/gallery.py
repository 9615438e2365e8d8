"""Writes a screenshot of every page into gallery/, so that a reviewer sees what changed (`make pages`).

`make pages KEEP=1` also renews the small screenshots in tests/webui/kept/, with which the browser test
compares.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deploy.local.home import open_home
from deploy.local.postgres import EmbeddedPostgres
from deploy.local.valkey import EmbeddedValkey
from deploy.migrations.runner import migrate
from shared.settings import Settings
from tests.memory import servers_directory
from tests.stack import Registry
from tests.webui.likeness import keep
from tests.webui.paged import FRESH, PATHS, fill, open_when, paged_registry, shots
from tests.webui.webdriver import Chromium, chromium

GALLERY: Final = Path("gallery")


async def main(*, keeps: bool) -> None:
    """Start a registry, fill it, and take the screenshots."""
    with tempfile.TemporaryDirectory(prefix="x07-gallery-", dir=servers_directory()) as directory:
        root = Path(directory)
        with open_home(root / "home") as home:
            postgres, valkey = EmbeddedPostgres(home, durable=False), EmbeddedValkey(home)
            await postgres.start()
            await valkey.start()
            try:
                await migrate(Settings(database_url=postgres.url))
                async with (
                    paged_registry(postgres.url, valkey.url, root) as registry,
                    chromium() as window,
                ):
                    await open_when(window, registry.url + "/", "Publish the first package")
                    await shoot(registry, window, FRESH, "fresh", keeps=keeps)
                    await fill(registry)
                    await shoot(registry, window, PATHS, "", keeps=keeps)
            finally:
                await valkey.stop()
                await postgres.stop()


async def shoot(
    registry: Registry, window: Chromium, paths: Sequence[str], prefix: str, *, keeps: bool
) -> None:
    """Take each page at each width, light and dark. keeps: also as what the browser test compares with."""
    GALLERY.mkdir(exist_ok=True)
    kept_bytes = 0
    async for name, screenshot in shots(registry, window, paths, prefix):
        (GALLERY / f"{name}.png").write_bytes(screenshot)
        if keeps:
            kept_bytes += keep(name, screenshot)
    print(f"{len(paths)} pages in {GALLERY.absolute()}; kept {kept_bytes} bytes")


if __name__ == "__main__":
    asyncio.run(main(keeps="--keep" in sys.argv))
