"""The origin of a version that a build published without a stored secret (trusted publishing)."""

from __future__ import annotations

from typing import Any

import msgspec


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """The build, as the issuer of its identity describes it.

    issuer: its URL. repository: the path of the repository or project at the issuer. workflow: the path of
    the workflow file in it. commit: the hash that was built. run: the issuer's number of the run or pipeline.
    """

    issuer: str
    repository: str
    workflow: str
    commit: str
    run: str


def stored_provenance(value: Any) -> Provenance | None:
    """The provenance in a row; None for a version or a token of a person."""
    return None if value is None else msgspec.convert(value, Provenance)
