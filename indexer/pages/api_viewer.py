"""Swagger UI, which shows the OpenAPI document in browsers that run scripts, from the package in the lock."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final

from swagger_ui_bundle import swagger_ui_path

from shared.pages.assets import hashed_path

STYLESHEET: Final = "swagger-ui.css"
SCRIPT: Final = "swagger-ui-bundle.js"


@cache
def viewer_files() -> Mapping[str, bytes]:
    """The files by path: the stylesheet and the script, 1.7 MB together."""
    bodies = ((name, (swagger_ui_path / name).read_bytes()) for name in (STYLESHEET, SCRIPT))
    return {hashed_path(name, body): body for name, body in bodies}
