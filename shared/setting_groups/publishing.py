"""Limits of uploads, and the checks of archives."""

from __future__ import annotations

from pydantic import BaseModel, Field

from shared.setting_types import CommaList, LintCommand, LoweredList


class PublishSettings(BaseModel):
    """Publishing."""

    publish_attempts_per_minute: int = Field(
        12_000, ge=0, description="Publishes per minute from one address or one token; 0: no limit."
    )
    publishes_at_once: int = Field(
        64,
        ge=1,
        le=1024,
        description="Publishes in progress in a write process, including uploads; further ones get 503. "
        "A publisher may hold at most as many as it leaves free, not counting the last quarter, which is for "
        "publishers that hold none: three eighths of all, if nobody else publishes.",
    )
    publish_bytes_per_second: int = Field(
        16_777_216,
        ge=0,
        description="Upload bandwidth per publisher in bytes per second, once the burst allowance (one "
        "archive of the maximum size) is used up; a refused upload counts as 512 KiB more; 0: no limit.",
    )
    body_min_bytes_per_second: int = Field(
        4096,
        ge=0,
        description="Minimum average rate, in bytes per second, at which a client must send a request body "
        "after the first 10 s. Below it the answer is 408, and an upload loses its place; 0: no minimum.",
    )
    body_seconds: float = Field(
        900.0,
        ge=1,
        le=86_400,
        description="How long a write process waits in total for the body of a request, not "
        "counting the time in which it does not read.",
    )
    max_archive_bytes: int = Field(
        67_108_864, ge=1024, le=1_073_741_824, description="Maximum size of an archive, in bytes."
    )
    check_processes: int = Field(
        2, ge=1, le=64, description="Processes that check archives. A publisher uses one of them at a time."
    )
    check_seconds: float = Field(
        10.0, ge=0.1, le=120, description="Processor time that the check of an archive may take, seconds."
    )
    lint_command: LintCommand = Field(
        None,
        description="Command line of the toolchain's linter, with `{file}` and `{world}` (docs/lint.md).",
    )
    lint_processes: int = Field(2, ge=1, le=64, description="Linter processes that run at once.")
    lint_seconds: float = Field(
        10.0,
        ge=0.1,
        le=600,
        description="Processor time of a linter for one module in one world, in seconds.",
    )
    lint_memory_bytes: int = Field(
        1_073_741_824, ge=16_777_216, description="Address space of a linter process, in bytes."
    )
    scale_evidence_allowed_hosts: LoweredList = Field(
        ("x07.io",), description="Hosts allowed in https scale evidence, including subdomains; empty: none."
    )
    scale_evidence_allowed_s3_buckets: CommaList = Field(
        (), description="Buckets allowed in s3 scale evidence; empty: any."
    )
    publish_wait_seconds: float = Field(
        5.0,
        ge=0,
        le=60,
        description="How long a publish waits until readers see it before it answers; 0: no wait.",
    )
