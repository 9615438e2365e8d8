"""A package's requirements of other packages: `meta.requires_packages` of its manifest (contract, 4.3).

Each entry is `name@version`, a pin, or `name@<range>`, a requirement as Cargo writes it. Entries are not
checked at publish, so invalid ones are ignored; limits keep one manifest from filling a table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from shared.names import MAX_NEW_NAME_BYTES, PackageName, parse_name
from shared.publish_errors import InvalidName
from shared.requirement import RequirementInvalid, matches, parse_requirement
from shared.strict_json import Json
from shared.text import trim
from shared.versions import Version, read_version

MAX_ENTRIES: Final = 1000
MAX_REQUIREMENT_CHARS: Final = 256


@dataclass(frozen=True, slots=True, order=True)
class RequiredPackage:
    """One entry. requirement: a version or a range, trimmed, otherwise as it was written."""

    name: PackageName
    requirement: str


def required_packages(meta: Json) -> tuple[RequiredPackage, ...]:
    """The valid entries, sorted and unique. meta: of a manifest, with any content.

    Entries beyond the first MAX_ENTRIES are ignored.
    """
    entries = meta.get("requires_packages") if isinstance(meta, dict) else None
    if not isinstance(entries, list):
        return ()
    read = (_read_entry(entry) for entry in entries[:MAX_ENTRIES] if isinstance(entry, str))
    return tuple(sorted({entry for entry in read if entry is not None}))


def is_met(requirement: str, version: str) -> bool:
    """True if the version meets a requirement.

    A pin is met by exactly one version; a range is evaluated by Cargo's rules. Text that is neither is met by
    any version. version: strict SemVer.
    """
    found = read_version(version)
    if found is None:
        return False
    return requirement == version if read_version(requirement) else _is_in_range(requirement, found)


def _is_in_range(requirement: str, version: Version) -> bool:
    try:
        return matches(parse_requirement(requirement), version)
    except RequirementInvalid:
        return True


def _read_entry(entry: str) -> RequiredPackage | None:
    name, _, requirement = (trim(part) for part in entry.partition("@"))
    if len(name) > MAX_NEW_NAME_BYTES or not 0 < len(requirement) <= MAX_REQUIREMENT_CHARS:
        return None
    try:
        parse_requirement(requirement)
        return RequiredPackage(parse_name(name), requirement)
    except (InvalidName, RequirementInvalid):
        return None
