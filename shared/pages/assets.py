"""The stylesheet, the script and the icon of the pages, under names that change with their bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib import resources
from typing import Final

from shared.page_paths import ASSETS

FOLDER: Final = resources.files("shared.pages") / "static"
STYLESHEET: Final = "style.css"
SCRIPT: Final = "copy.js"
ICON: Final = "icon.svg"
API_STYLESHEET: Final = "api.css"
API_SCRIPT: Final = "api.js"
NAMES: Final = (STYLESHEET, SCRIPT, ICON, API_STYLESHEET, API_SCRIPT)


def _bodies() -> Mapping[str, bytes]:
    return {name: (FOLDER / name).read_bytes() for name in NAMES}


ASSET_BODIES: Final = _bodies()
"""The bytes of each asset by the name of its source."""


def asset_path(name: str) -> str:
    """The path of an asset. A page of an older release names an older path, whose file is never removed."""
    return hashed_path(name, ASSET_BODIES[name])


def hashed_path(name: str, body: bytes) -> str:
    """The path of an asset with these bytes."""
    stem, _, extension = name.rpartition(".")
    return f"{ASSETS}{stem}.{hashlib.sha256(body).hexdigest()[:16]}.{extension}"
