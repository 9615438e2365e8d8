"""The manifest `x07-package.json`: its form, and the checks that need nothing else (contract, 4.1, 4.3).

Each check is a function, so that publishing can call them in the contract's order; checks that
need the archive too are in api/write/archive/check.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from shared.errors import RegistryError
from shared.manifest_limits import check_limits
from shared.names import PackageName, parse_name
from shared.publish_errors import (
    BadManifest,
    CompatInvalid,
    CompatRequired,
    DescriptionRequired,
    DocsRequired,
    LicenseRequired,
    SchemaVersionUnsupported,
)
from shared.relative_path import parse_relative_path
from shared.requirement import RequirementInvalid, parse_requirement
from shared.strict_json import Json, JsonInvalid, parse_json
from shared.text import rust_quote, trim
from shared.versions import VersionText, parse_new_version
from shared.worlds import parse_worlds

FILE_NAME: Final = "x07-package.json"
SCHEMA_VERSION: Final = "x07.package@0.1.0"
FIELDS_IN_ORDER: Final = (
    "schema_version",
    "name",
    "description",
    "license",
    "docs",
    "version",
    "module_root",
    "modules",
    "meta",
)
KNOWN_KEYS: Final = frozenset(FIELDS_IN_ORDER)


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest of the right shape; its values are as written, valid only after the checks below.

    module_root: trimmed. meta: any JSON, None when absent. raw: the whole object, unknown keys included.
    """

    schema_version: str
    name: str
    version: str
    description: str | None
    docs: str | None
    license: str | None
    module_root: str
    modules: tuple[str, ...]
    meta: Json
    raw: dict[str, Json]

    @property
    def imports_ffi(self) -> bool:
        """True if the archive must have a file under `ffi/`."""
        return isinstance(self.meta, dict) and self.meta.get("import_mode") == "ffi"


@dataclass(frozen=True, slots=True)
class Release:
    """The facts in a publishable manifest: package, version, and the worlds it runs in."""

    name: PackageName
    version: VersionText
    worlds: tuple[str, ...]


def parse_manifest(data: bytes) -> Manifest:
    """The manifest in the bytes of x07-package.json (check 5). Raises BadManifest."""
    try:
        raw = parse_json(data, known_keys=KNOWN_KEYS)
    except JsonInvalid as error:
        raise _unparsable(str(error)) from None
    if not isinstance(raw, dict):
        raise _unparsable("expected an object")
    if rb"\u0000" in data and _holds_nul(raw):
        raise _unparsable("the character U+0000 is not allowed")
    return Manifest(
        schema_version=_text(raw, "schema_version"),
        name=_text(raw, "name"),
        version=_text(raw, "version"),
        description=_optional_text(raw, "description"),
        docs=_optional_text(raw, "docs"),
        license=_optional_text(raw, "license"),
        module_root=trim(_text(raw, "module_root")),
        modules=_texts(raw, "modules"),
        meta=raw.get("meta"),
        raw=raw,
    )


def stored_manifest(value: Json) -> dict[str, Json]:
    """A manifest from the database; empty unless it is an object, as the older server accepted arrays too."""
    return value if isinstance(value, dict) else {}


def stored_array(value: Json) -> dict[str, Json] | None:
    """The fields, by name, of a stored manifest that is an array of them; None for any other manifest.

    The older server read them by position for a version's metadata. Everywhere else it read them by name, and
    found none. `meta`, the last one, may be missing.
    """
    if not isinstance(value, list) or len(value) not in (len(FIELDS_IN_ORDER) - 1, len(FIELDS_IN_ORDER)):
        return None
    return dict(zip(FIELDS_IN_ORDER, value, strict=False))


def check_module_root(manifest: Manifest) -> None:
    """Check 6: a relative path below the archive's root. Raises BadManifest."""
    if not manifest.module_root:
        raise BadManifest("module_root must not be empty")
    try:
        parse_relative_path(manifest.module_root)
    except ValueError as error:
        raise BadManifest(f"module_root {rust_quote(manifest.module_root)} {error}") from None


def check_has_modules(manifest: Manifest) -> None:
    """Check 8: at least one module. Raises BadManifest."""
    if not manifest.modules:
        raise BadManifest("modules must not be empty")


def module_path(module_root: str, module_id: str) -> str:
    """The path of a module in the archive (check 9). Raises BadManifest.

    The part below module_root must itself be relative: `.`, `..a` and `/a` are not module ids.
    """
    try:
        below_root = parse_relative_path(f"{module_id.replace('.', '/')}.x07.json")
        return parse_relative_path(f"{module_root}/{below_root}")
    except ValueError as error:
        raise BadManifest(f"invalid module id path for {rust_quote(module_id)}: {error}") from None


def check_publishable(manifest: Manifest) -> Release:
    """Checks 12 to 20, in order; each raises the error that the contract names for it.

    Then the limits of this server (manifest_limits.py). Raises BadManifest for them.
    """
    if trim(manifest.schema_version) != SCHEMA_VERSION:
        raise SchemaVersionUnsupported(
            f"schema_version is {rust_quote(manifest.schema_version)}; expected {rust_quote(SCHEMA_VERSION)}"
        )
    name = parse_name(manifest.name)
    version = parse_new_version(manifest.version)
    _require_text(manifest.description, DescriptionRequired)
    _require_text(manifest.docs, DocsRequired)
    _require_text(manifest.license, LicenseRequired)
    _check_compat(manifest.meta)
    worlds = parse_worlds(manifest.meta)
    check_limits(name, manifest.raw)
    return Release(name, version, worlds)


def _check_compat(meta: Json) -> None:
    """Checks 18 and 19: `meta.x07c_compat` is a version requirement."""
    if not isinstance(meta, dict) or "x07c_compat" not in meta:
        raise CompatRequired
    compat = meta["x07c_compat"]
    if not isinstance(compat, str):
        raise CompatInvalid("meta.x07c_compat must be a string")
    if not trim(compat):
        raise CompatRequired
    try:
        parse_requirement(compat)
    except RequirementInvalid as error:
        raise CompatInvalid(f"invalid meta.x07c_compat {rust_quote(compat)}: {error}") from None


def _require_text(value: str | None, error: type[RegistryError]) -> None:
    if value is None or not trim(value):
        raise error


def _text(raw: dict[str, Json], key: str) -> str:
    if key not in raw:
        raise _unparsable(f'missing field "{key}"')
    value = raw[key]
    if not isinstance(value, str):
        raise _unparsable(f'"{key}" must be a string')
    return value


def _optional_text(raw: dict[str, Json], key: str) -> str | None:
    return None if raw.get(key) is None else _text(raw, key)


def _texts(raw: dict[str, Json], key: str) -> tuple[str, ...]:
    if key not in raw:
        raise _unparsable(f'missing field "{key}"')
    values = raw[key]
    texts = [value for value in values if isinstance(value, str)] if isinstance(values, list) else []
    if texts != values:
        raise _unparsable(f'"{key}" must be an array of strings')
    return tuple(texts)


def _holds_nul(value: Json) -> bool:
    """True if a key or a string contains U+0000, which JSON can express but jsonb cannot store."""
    match value:
        case str():
            return "\0" in value
        case list():
            return any(map(_holds_nul, value))
        case dict():
            return any("\0" in key or _holds_nul(item) for key, item in value.items())
        case _:
            return False


def _unparsable(reason: str) -> BadManifest:
    return BadManifest(f"parse {FILE_NAME}: {reason}")
