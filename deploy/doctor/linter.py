"""Checks that the toolchain's linter is installed, and whether this machine can run it without network."""

from __future__ import annotations

import asyncio
from typing import Final

from api.write.archive.external_linter import open_linter
from api.write.archive.linter_process import isolation
from deploy.doctor.finding import Finding, off, ok
from shared.settings import Settings

CHECK: Final = "lint command"
MEND: Final = "install the program on the write servers, or correct X07_REGISTRY_LINT_COMMAND (docs/lint.md)"


async def examine_linter(settings: Settings) -> list[Finding]:
    """One finding. Raises SettingsError if the program is missing."""
    if await asyncio.to_thread(open_linter, settings) is None:
        return [off(CHECK, "only the built-in rules check uploads: X07_REGISTRY_LINT_COMMAND is not set")]
    network = "without network" if isolation() else "with this machine's network: unshare is not permitted"
    return [ok(CHECK, f"is installed, and runs {network}")]
