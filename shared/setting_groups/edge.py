"""What edges are told about files, and how they are asked to drop what changed."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, Field, model_validator

from shared.setting_types import CommaList, OptionalSecret
from shared.variables import PREFIX, SettingsError


class EdgeSettings(BaseModel):
    """Edges."""

    surrogate_header: Literal["surrogate-key", "cache-tag", "none"] = Field(
        "surrogate-key",
        description="Header in which readers tell an edge the surrogate key of each file: `surrogate-key`, "
        "`cache-tag`, or `none`.",
    )
    purge: Literal["off", "fastly", "cloudflare", "varnish", "url-template"] = Field(
        "off",
        description="How workers ask an edge to drop what changed: `fastly`, `cloudflare`, `varnish`, or "
        "`url-template`, which posts to a URL for each key. `off`: copies end by themselves.",
    )
    purge_urls: CommaList = Field(
        (),
        description="Addresses to send purges to, comma-separated: "
        "`https://api.fastly.com/service/ID/purge`, "
        "`https://api.cloudflare.com/client/v4/zones/ID/purge_cache`, each Varnish, or a URL with `{key}`.",
    )
    purge_secret: OptionalSecret = Field(
        None, description="Token that allows purges: Fastly's or Cloudflare's API token, or that of your VCL."
    )

    @property
    def purges(self) -> bool:
        """True if workers ask an edge to drop what changed."""
        return self.purge != "off"

    @model_validator(mode="after")
    def _a_purge_has_an_address(self) -> Self:
        is_template = self.purge == "url-template"
        if self.purges and (
            not self.purge_urls or not all(_is_address(url, is_template) for url in self.purge_urls)
        ):
            needed = " with {key} in it" if is_template else ""
            raise SettingsError(f"{PREFIX}PURGE needs http or https URLs{needed} in {PREFIX}PURGE_URLS")
        return self


def _is_address(url: str, is_template: bool) -> bool:
    return url.startswith(("http://", "https://")) and ("{key}" in url) == is_template
