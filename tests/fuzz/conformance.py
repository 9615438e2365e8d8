"""Schemathesis against a live registry, from the OpenAPI document, as its own command line runs it.

What it sends is made from the document: examples, edges of every schema, random values, and what breaks
them. An answer of 5xx, of an undocumented status, or off its schema fails.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from deploy.openapi.__main__ import DOCUMENT

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
)

# It waits for answers most of the time; the registry takes several requests at once.
WORKERS = "3"


async def run_schemathesis(
    url: str,
    directory: Path,
    headers: dict[str, str],
    *,
    examples: int,
    phases: str,
    seed: int,
    document: Path = DOCUMENT,
) -> tuple[int, str]:
    """Exit status (0: it found nothing) and report. examples: random requests an operation."""
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", str(document), "--url", url),
        *("--checks", ",".join(CHECKS), "--phases", phases, "--max-examples", str(examples)),
        *(
            "--seed",
            str(seed),
            "--workers",
            WORKERS,
            "--warnings",
            "off",
            "--no-color",
            "--continue-on-failure",
        ),
        *("--generation-database", "none", "--request-timeout", "30", "--max-redirects", "0"),
    ]
    for name, value in headers.items():
        command += ["--header", f"{name}: {value}"]
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=directory,
        env={**os.environ, "HYPOTHESIS_STORAGE_DIRECTORY": str(directory)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode(errors="replace")
