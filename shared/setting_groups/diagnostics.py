"""Logs and traces of a process, and the point at which a fault test stops it."""

from __future__ import annotations

from typing import Literal

from pydantic import AliasChoices, BaseModel, Field

from shared.setting_types import Boolean, OptionalUrl, StopAt
from shared.variables import PREFIX


class DiagnosticSettings(BaseModel):
    """Logs and traces."""

    log_format: Literal["auto", "json", "console"] = Field(
        "auto",
        description="Format of log lines: JSON, or text for a terminal; auto: text if stderr is a terminal.",
    )
    access_log: Boolean = Field(False, description="Log a line for each answered request.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info",
        description="Lowest level that is logged. Commands other than `up`, `serve` and `worker`: `error`, "
        "unless it is set.",
    )
    otlp_endpoint: OptionalUrl = Field(
        None,
        validation_alias=AliasChoices(f"{PREFIX}OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        description="URL of an OTLP/HTTP receiver of traces, without `/v1/traces`; empty: no traces.",
    )
    test_stop_at: StopAt = Field(
        None,
        description="For fault tests only: the point where the process kills itself (SIGKILL): "
        "a point of a publish "
        "(`after_stage`, `after_commit`, …), or `change:N`: after its N-th change of storage. `pause:POINT` "
        "stops it at the point with SIGSTOP instead.",
    )
