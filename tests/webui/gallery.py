"""Writes a screenshot of every page into gallery/, so that a reviewer sees what changed (`make pages`)."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Final

from deploy.local.home import open_home
from deploy.local.postgres import EmbeddedPostgres
from deploy.local.valkey import EmbeddedValkey
from deploy.migrations.runner import migrate
from shared.settings import Settings
from tests.memory import servers_directory
from tests.stack import Registry
from tests.webui.paged import PATHS, fill, paged_registry
from tests.webui.webdriver import Chromium, chromium

GALLERY: Final = Path("gallery")
WIDTHS: Final = (320, 768, 1280)


async def main() -> None:
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
                    await shoot(registry, window, ("/",), "fresh")
                    await fill(registry)
                    await shoot(registry, window, PATHS, "")
            finally:
                await valkey.stop()
                await postgres.stop()


async def shoot(registry: Registry, window: Chromium, paths: tuple[str, ...], prefix: str) -> None:
    """Take each page at each width, light and dark."""
    GALLERY.mkdir(exist_ok=True)
    for path in paths:
        await window.open(registry.url + path)
        words = f"{prefix}/{path}".replace("?", "/").replace("=", "-").split("/")
        for width in WIDTHS:
            for scheme in ("light", "dark"):
                await window.show_as(width, scheme)
                name = "-".join(filter(None, words)) or "home"
                (GALLERY / f"{name}-{width}-{scheme}.png").write_bytes(await window.screenshot())
    print(f"{len(paths)} pages in {GALLERY.absolute()}")


if __name__ == "__main__":
    asyncio.run(main())
