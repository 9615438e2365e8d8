"""Connections that know the arrays of Postgres' own types, so that they need not ask for them.

asyncpg knows the types of pg_catalog, but of their arrays only text[] and oid[]. On each new connection it
asks for any other with a recursive query over pg_type, which takes Postgres longer than the statement that
needs it. The numbers of these types are part of Postgres and never change.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import asyncpg

ARRAYS: Final = {
    1000: (16, "bool"),
    1001: (17, "bytea"),
    1007: (23, "int4"),
    1016: (20, "int8"),
    1185: (1184, "timestamptz"),
    2287: (2249, "record"),
    2951: (2950, "uuid"),
}
"""The number of each array type: the number and the name of its elements' type."""


@dataclass(frozen=True, slots=True)
class NotAsked:
    """Stands for the statement that asks for types, which was not sent. The driver reads only its name."""

    name: str = "not asked"


class ArrayConnection(asyncpg.Connection):  # type: ignore[misc] # the driver has no types
    """A connection that asks Postgres only for types that are not in ARRAYS."""

    async def _introspect_types(self, typeoids: Iterable[int], timeout: float | None) -> Any:
        """The driver's own method. It has no public counterpart; tests hold what it does."""
        if all(number in ARRAYS for number in typeoids):
            return [_described(number) for number in typeoids], NotAsked()
        return await super()._introspect_types(typeoids, timeout)


def _described(number: int) -> dict[str, Any]:
    """An array type, in the form in which the driver would have read it from pg_type."""
    element, name = ARRAYS[number]
    others = dict.fromkeys(("basetype", "range_subtype", "attrtypoids", "attrnames", "basetype_name"))
    return {
        "oid": number,
        "ns": "pg_catalog",
        "name": f"_{name}",
        "kind": b"b",
        "elemtype": element,
        "elemtype_name": name,
        "elemdelim": b",",
        "range_subtype_name": None,
        **others,
    }
