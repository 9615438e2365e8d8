"""A local registry signs with its own key."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from deploy.errors import StartFailed
from deploy.local.signing_key import ensure_signing_key


def test_a_signing_key_is_made_once_and_only_we_may_read_it(tmp_path: Path) -> None:
    """Earlier signatures verify with the key that is published today."""
    path = tmp_path / "signing-key"
    first = ensure_signing_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert ensure_signing_key(path) == first
    assert first["pkg_signing_key_id"].startswith("local-")


def test_a_damaged_signing_key_stops_the_start(tmp_path: Path) -> None:
    """A different key would invalidate earlier signatures."""
    path = tmp_path / "signing-key"
    path.write_text("half a k")
    with pytest.raises(StartFailed, match="is damaged"):
        ensure_signing_key(path)
