"""Chooses what a request prefers: a compressed variant, by the weights of Accept-Encoding (RFC 9110, 12.5.3),
or HTML, by those of Accept (12.5.1).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from shared.encodings import SUFFIXES, Coding

_ELEMENT: Final = re.compile(
    r"[ \t]*(?P<coding>[!#$%&'*+.^_`|~0-9A-Za-z-]+)"
    r"[ \t]*(?:;[ \t]*q=(?P<weight>0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)[ \t]*)?",
    re.IGNORECASE,
)
_WEIGHT: Final = re.compile(r"q[ \t]*=[ \t]*(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")
# The media types that name a representation, the most specific first.
HTML_KINDS: Final = ("text/html", "text/*", "*/*")
JSON_KINDS: Final = ("application/json", "application/*", "*/*")
ALIASES: Final = {"x-gzip": "gzip"}
ANY: Final = "*"
IDENTITY: Final = "identity"


def preferred_codings(accept_encoding: Iterable[str]) -> tuple[Coding, ...]:
    """The codings that the client prefers to identity, best first; empty for identity.

    accept_encoding: the value of each header line; without any, the client gets identity. Of equal weights,
    the denser coding comes first and identity last. Never raises: invalid elements are ignored.
    """
    return _preferred(",".join(accept_encoding))


@lru_cache(maxsize=64)  # clients of one kind send the same value
def _preferred(value: str) -> tuple[Coding, ...]:
    weights = _weights(value)
    anything = weights.get(ANY, 0.0)
    # Identity is acceptable without being named, but a coding that is named comes before it.
    identity = weights.get(IDENTITY, anything)
    offers = [(coding, weights.get(coding, anything)) for coding in SUFFIXES]
    wanted = [(coding, weight) for coding, weight in offers if weight > 0 and weight >= identity]
    return tuple(coding for coding, _ in sorted(wanted, key=lambda offer: -offer[1]))


def prefers_html(accept: Iterable[str]) -> bool:
    """True if the client prefers HTML to JSON, as browsers do. accept: the value of each header line.

    A client that takes both alike, or anything, gets JSON. Never raises: parameters of a media type but its
    weight are ignored.
    """
    weights: dict[str, float] = {}
    for element in ",".join(accept).lower().split(","):
        media, *parameters = (part.strip() for part in element.split(";"))
        found = (_WEIGHT.fullmatch(parameter) for parameter in parameters)
        weight = next((float(match[1]) for match in found if match is not None), 1.0)
        weights.setdefault(media, weight)
    html, json = (
        next((weights[kind] for kind in kinds if kind in weights), 0.0) for kinds in (HTML_KINDS, JSON_KINDS)
    )
    return html > json


def _weights(value: str) -> dict[str, float]:
    """The weight of each coding, 0 to 1; if a coding is named twice, the first weight counts."""
    weights: dict[str, float] = {}
    for element in value.split(","):
        if (match := _ELEMENT.fullmatch(element)) is not None:
            coding = match["coding"].lower()
            weights.setdefault(ALIASES.get(coding, coding), float(match["weight"] or 1))
    return weights
