"""The release of this program: the number in pyproject.toml, as it was installed."""

from __future__ import annotations

from importlib.metadata import version
from typing import Final

VERSION: Final = version("x07-registry")
