"""What the home page shows, from rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from shared.names import PackageName
from shared.versions import VersionText


@dataclass(frozen=True, slots=True)
class NewVersion:
    """One of the newest versions. description: of the package, as listings have it."""

    name: PackageName
    version: VersionText
    published_at: datetime
    description: str | None


@dataclass(frozen=True, slots=True)
class Required:
    """A package that others require. dependents: how many packages require it."""

    name: PackageName
    dependents: int


@dataclass(frozen=True, slots=True)
class Home:
    """What the home page shows. packages, versions: their numbers."""

    packages: int
    versions: int
    newest: tuple[NewVersion, ...]
    required: tuple[Required, ...]
