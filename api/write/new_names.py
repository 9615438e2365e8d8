"""Decides whether a caller may publish a package under a new name; existing names stay valid. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from api.write.principal import Principal
from shared.errors import Forbidden
from shared.names import fold_name, parse_new_name
from shared.publish_errors import NameReserved, NameTooSimilar
from shared.text import rust_quote

WINDOWS_DEVICES: Final = frozenset(
    {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))}
)
"""Names that Windows reserves for devices: no file or folder can have one, so mirrors would break."""
ROUTES: Final = frozenset({"publish"})
"""Static path segments where other paths have a name: `GET /v1/packages/publish` is not a package's page."""

NamespaceOwners = Mapping[str, Collection[str]]
"""Handles of owners, by namespace."""


def check_new_name(
    name: str, caller: Principal, look_alike: str | None, namespace_owners: NamespaceOwners
) -> None:
    """Raise the reason why the caller may not publish the first version of a package with this name.

    look_alike: a package with the same folded name that the caller does not own. Raises InvalidName,
    NameReserved, Forbidden for a namespace that is reserved for others, NameTooSimilar.
    """
    parse_new_name(name)
    if name in WINDOWS_DEVICES:
        raise NameReserved(f"{rust_quote(name)} is a device on Windows, where no file can have this name")
    if name in ROUTES:
        raise NameReserved(f"{rust_quote(name)} is a route of the registry")
    if caller.is_admin:
        return
    namespace = _namespace_of(name, namespace_owners)
    if namespace is not None and caller.handle not in namespace_owners[namespace]:
        raise Forbidden(f"new packages of the namespace {rust_quote(namespace)} are kept for its owners")
    if look_alike is not None:
        raise NameTooSimilar(
            f"{rust_quote(name)} is too similar to {rust_quote(look_alike)}, which somebody else owns"
        )


def _namespace_of(name: str, namespaces: Collection[str]) -> str | None:
    """The longest namespace that equals the name or contains it, look-alikes included, or None."""
    folded = fold_name(name)
    found = [
        namespace
        for namespace in namespaces
        if folded == fold_name(namespace) or folded.startswith(f"{fold_name(namespace)}-")
    ]
    return max(found, key=len, default=None)
