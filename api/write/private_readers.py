"""Who may read all packages of a private namespace, by the settings. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from api.write.principal import Principal
from shared.errors import Forbidden
from shared.private_names import is_private
from shared.text import rust_quote

Namespaces = Mapping[str, Collection[str]]
"""Handles of those who may read all packages of a pattern, by pattern."""


def reads_all(caller: Principal, name: str, namespaces: Namespaces) -> bool:
    """True for administrators and for readers of a pattern that covers the name."""
    return caller.is_admin or is_reader(caller.handle, name, namespaces)


def is_reader(handle: str, name: str, namespaces: Namespaces) -> bool:
    """True for a user whom a pattern that covers the name lists."""
    return is_private(name, [pattern for pattern, handles in namespaces.items() if handle in handles])


def not_a_reader(name: str) -> Forbidden:
    """The refusal of a first version, which is the same whether or not the package exists."""
    return Forbidden(f"{rust_quote(name)} is kept for the readers of a private namespace, and you are none")
