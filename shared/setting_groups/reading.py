"""How long readers and the edge serve what they hold."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, Field

from shared.machine_memory import memory_bytes
from shared.setting_types import PrivateNamespaces

MEMORY_SHARE: Final = 16
# A read process with this cache stays below 160 MiB.
LEAST_CACHE_BYTES: Final = 32 << 20
LARGEST_CACHE_BYTES: Final = 1 << 30


class ReadSettings(BaseModel):
    """Reading."""

    read_cache_bytes: int | None = Field(
        None,
        ge=0,
        le=17_179_869_184,
        description="Memory of a read process for bodies, in bytes. Half of it keeps them: a name takes some "
        "2.5 KB besides its index file, and 1 KB besides each compressed variant. Empty: a sixteenth of the "
        "memory of the machine or the container, at least 32 MiB and at most 1 GiB.",
    )
    read_ttl_seconds: float = Field(
        5.0,
        ge=0,
        le=3600,
        description="How long a cached blob is served without asking storage, if no change message came.",
    )
    reads: Literal["public", "token"] = Field(
        "public",
        description="Who may read: `public` for anybody, `token` for holders of a token. "
        "All tiers need the same value.",
    )
    private_namespaces: PrivateNamespaces = Field(
        {},
        description="Packages that are private in a public registry, and who may read all of them: "
        "`PATTERN` or `PATTERN:HANDLE+HANDLE`, comma-separated. A pattern is a name, or the beginning of "
        "names followed by `*`; look-alikes count. All tiers need the same value.",
    )
    access_grace_seconds: float = Field(
        300.0,
        ge=0,
        le=86_400,
        description="In a private registry, how long a reader that cannot reach storage uses the list of "
        "tokens in its memory. After that it answers 503.",
    )
    edge_fresh_seconds: int = Field(
        5,
        ge=1,
        le=3600,
        description="How long the edge serves an index file or metadata without asking a reader again.",
    )
    edge_stale_seconds: int = Field(
        86_400,
        ge=0,
        le=31_536_000,
        description="How much longer the edge serves its copy, marked `x-x07-stale`, while no reader can "
        "confirm it; 0: not at all.",
    )

    @property
    def cache_bytes(self) -> int:
        """The memory of a read process for bodies, in bytes."""
        if self.read_cache_bytes is not None:
            return self.read_cache_bytes
        return min(max(memory_bytes() // MEMORY_SHARE, LEAST_CACHE_BYTES), LARGEST_CACHE_BYTES)

    @property
    def reads_need_token(self) -> bool:
        """True for a private registry."""
        return self.reads == "token"

    @property
    def has_private_reads(self) -> bool:
        """True if some reads need a token: in a private registry, or of private packages."""
        return self.reads_need_token or bool(self.private_namespaces)
