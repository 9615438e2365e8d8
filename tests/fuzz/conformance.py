"""Schemathesis against a live registry, from the OpenAPI document, as its own command line runs it.

Requests are generated from the document: examples, edges of every schema, random values, and violations. An
answer fails if it is a 5xx, has an undocumented status, or does not match its schema.
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

# Hypothesis parses in each worker, and Python 3.11 counts the depth of `ast.parse` once for all (gh-106905).
WORKERS = "1"


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
    """Exit status (0: no failure) and report. examples: random requests per operation."""
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
