"""What the home page and the feeds show, from rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

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
class NewAdvisory:
    """One of the newest advisories. withdrawn_at: None while it is in force."""

    id: UUID
    name: PackageName
    version: VersionText
    kind: str
    severity: str
    summary: str
    created_at: datetime
    withdrawn_at: datetime | None


@dataclass(frozen=True, slots=True)
class Required:
    """A package that others require. dependents: how many packages require it."""

    name: PackageName
    dependents: int


@dataclass(frozen=True, slots=True)
class Dependent:
    """A package whose latest version requires another one. requirement: a version or a range."""

    name: PackageName
    requirement: str


@dataclass(frozen=True, slots=True)
class Home:
    """What the home page and the feeds show. packages, versions: their numbers. All lists: newest first."""

    packages: int
    versions: int
    newest: tuple[NewVersion, ...]
    required: tuple[Required, ...]
    advisories: tuple[NewAdvisory, ...] = ()
