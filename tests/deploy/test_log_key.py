"""A local registry's log has its own key and name, which stay when the address changes."""

from __future__ import annotations

import stat
from base64 import b64decode
from pathlib import Path

import pytest

from deploy.errors import StartFailed
from deploy.local.log_key import ensure_log_key, parse_private_key, render_private_key

# A key made by Go's note.GenerateKey.
GO_KEY = "PRIVATE+KEY+example.com/foo+c2534842+AWYtBN2ZpzM6E607e/qVaiXzl5jeL+iNn5kskBzcaX2o"


def test_a_log_key_is_made_once_and_only_we_may_read_it(tmp_path: Path) -> None:
    """A log's name never changes, even if the registry later listens elsewhere."""
    path = tmp_path / "log-key"
    first = ensure_log_key(path, "127.0.0.1:8080")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert first["log_origin"] == "127.0.0.1:8080"
    assert len(b64decode(first["log_key_b64"].get_secret_value())) == 32
    assert ensure_log_key(path, "127.0.0.1:9090") == first


@pytest.mark.parametrize("text", ["", "half a k", "PRIVATE+KEY+name+00000000+AAAA"])
def test_a_damaged_log_key_stops_the_start(tmp_path: Path, text: str) -> None:
    """Another key would sign a log that clients could not verify with the key that they have."""
    path = tmp_path / "log-key"
    path.write_text(text)
    with pytest.raises(StartFailed, match="is damaged"):
        ensure_log_key(path, "127.0.0.1:8080")


def test_a_private_key_is_read_back_from_its_text() -> None:
    """The text has the format of Go's note package."""
    name, seed = parse_private_key(GO_KEY)
    assert name == "example.com/foo"
    assert render_private_key(name, seed) == GO_KEY
