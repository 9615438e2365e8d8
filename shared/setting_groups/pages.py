"""The HTML pages and feeds of the registry."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class PageSettings(BaseModel):
    """Pages."""

    pages: Literal["on", "off"] = Field(
        "on",
        description="Whether workers write HTML pages and feeds, and readers serve them (docs/pages.md). "
        "All tiers need the same value.",
    )

    @property
    def has_pages(self) -> bool:
        """True if the registry has HTML pages."""
        return self.pages == "on"
