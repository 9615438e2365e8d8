"""The toolchain's linter: its program is there; and whether it can be cut off from the network here."""

from __future__ import annotations

import asyncio
from typing import Final

from api.write.lint_process import isolation
from api.write.linter import open_linter
from deploy.doctor.finding import Finding, off, ok
from shared.settings import Settings

CHECK: Final = "lint command"
MEND: Final = "install the program on the write servers, or correct X07_REGISTRY_LINT_COMMAND (docs/lint.md)"


async def examine_linter(settings: Settings) -> list[Finding]:
    """One finding. Raises SettingsError if the program is not there."""
    if await asyncio.to_thread(open_linter, settings) is None:
        return [off(CHECK, "uploads are judged by the built-in rules: X07_REGISTRY_LINT_COMMAND is not set")]
    network = "without network" if isolation() else "with this machine's network: unshare is not permitted"
    return [ok(CHECK, f"is there, and runs {network}")]
