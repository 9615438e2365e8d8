"""Known vulnerabilities of the locked dependencies (`make audit`): pip-audit over the lock file.

If the vulnerability data is out of reach, nothing is audited; a clear message says so, and it is not a
failure.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

DATA = ("api.osv.dev", 443)
PATIENCE_S = 2.0
TIMEOUT_S = 120.0
LOCK = Path(__file__).parent.parent / "requirements.lock"
# pip-audit exits with 1 for findings and for its own errors; only findings begin like this.
FOUND = "Found "


def reason_to_skip() -> str | None:
    """Why auditing is impossible, or None."""
    try:
        with socket.create_connection(DATA, timeout=PATIENCE_S):
            return None
    except OSError as error:
        return f"{DATA[0]} is out of reach ({error})"


def audit() -> int:
    """Run the audit. Returns the exit status: 1 for a known vulnerability, else 0."""
    if reason := reason_to_skip():
        return _skipped(reason)
    command = [sys.executable, "-m", "pip_audit", "--vulnerability-service", "osv", "--disable-pip"]
    options = ["--require-hashes", "--progress-spinner", "off", "--requirement", LOCK]
    try:
        ended = subprocess.run(
            [*command, *options], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return _skipped(f"pip-audit took more than {TIMEOUT_S:.0f} s")
    if ended.returncode and FOUND not in ended.stderr:
        return _skipped(f"pip-audit failed: {(ended.stderr.splitlines() or ['without a word'])[-1]}")
    print(ended.stdout + ended.stderr)
    return ended.returncode


def _skipped(reason: str) -> int:
    print(f"*** DEPENDENCIES WERE NOT AUDITED: {reason} ***", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(audit())
