"""The addresses on which the registry listens, and those that clients and proxies use."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import BaseModel, Field

from shared.setting_types import BaseUrl, Bind, Networks, OptionalBind, Origins


class AddressSettings(BaseModel):
    """Addresses."""

    bind: Bind = Field(
        "127.0.0.1:8080",
        description="Address to listen on: HOST:PORT, or `unix:/PATH` for a proxy on the same machine.",
    )
    public_base: BaseUrl = Field(
        "http://127.0.0.1:8080",
        description="URL under which clients reach the registry. If it has a path (`https://host/registry`), "
        "the proxy in front removes the path from requests.",
    )
    web_base: BaseUrl = Field("https://x07.io", description="URL of the web UI; sign-in returns there.")
    index_host: str = Field("index.x07.io", description="Host name whose root also serves the index.")
    cors_origins: Origins = Field(
        (), description="Origins that browsers may call from, comma-separated; `*` for any."
    )
    trusted_proxies: Networks = Field(
        (),
        description="Addresses and networks of proxies whose `X-Forwarded-For` is trusted, "
        "comma-separated. Empty: the peer is the client. Who connects to a Unix socket is always trusted.",
    )
    metrics_bind: OptionalBind = Field(
        None,
        description="Address for `/metrics`, `/healthz` and `/readyz` of this process, HOST:PORT; "
        "keep it private. Empty: none.",
    )

    @property
    def base_path(self) -> str:
        """The path of the public base, without a slash at its end; empty for most registries."""
        return urlsplit(self.public_base).path
