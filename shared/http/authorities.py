"""The certificate authorities that this process trusts when it connects to others."""

from __future__ import annotations

import ssl
from functools import cache

import httpx


@cache
def trusted_authorities() -> ssl.SSLContext:
    """One context for all clients of the process, because loading the authorities takes 25 ms.

    They are those of httpx: SSL_CERT_FILE and SSL_CERT_DIR replace the built-in ones.
    """
    return httpx.create_ssl_context()
