"""The requests that each kind of edge gets, and which files share a surrogate key."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from indexer.purging.requests import PurgeRequest, requests_for
from shared.settings import Settings, SettingsError, load_settings
from shared.surrogate_keys import surrogate_key_of

URL = "https://edge.example/purge"


def requests(kind: str, url: str, keys: list[str]) -> list[PurgeRequest]:
    """The requests for these keys."""
    values: dict[str, Any] = {"purge": kind, "purge_urls": url, "purge_secret": "s3cret"}
    return list(requests_for(Settings(**values), keys))


@pytest.mark.parametrize(
    ("key", "surrogate_key"),
    [
        ("index/he/ll/hello", "package/hello"),
        ("index/1/a", "package/a"),
        ("index/catalog.json", "catalog"),
        ("index/config.json", "config"),
        ("dl/hello/package", "package/hello"),
        ("dl/hello/owners", "package/hello"),
        ("dl/hello/0.1.0/metadata", "package/hello"),
        ("dl/hello/0.1.0/advisories", "package/hello"),
        ("dl/hello/0.1.0+a/download", "archive/hello/0.1.0+a"),
        ("log/checkpoint", "log"),
        ("log/tile/0/000", "log"),
        ("pages/packages/hello/index.html", "pages/hello"),
        ("pages/packages/index.html", "pages"),
        ("pages/index.html", "pages"),
    ],
)
def test_files_that_change_together_have_one_key(key: str, surrogate_key: str) -> None:
    """An archive has its own."""
    assert surrogate_key_of(key) == surrogate_key


def test_fastly_gets_the_keys_in_a_header() -> None:
    """256 of them with a request."""
    first, second = requests("fastly", URL, [f"package/p{number}" for number in range(300)])
    assert (first.method, first.url, first.headers["fastly-key"]) == ("POST", URL, "s3cret")
    assert len(first.headers["surrogate-key"].split()) == 256
    assert second.headers["surrogate-key"].split()[-1] == "package/p299"


def test_cloudflare_gets_the_keys_as_tags() -> None:
    """30 of them with a request."""
    first, second = requests("cloudflare", URL, [f"package/p{number}" for number in range(31)])
    assert first.headers["authorization"] == "Bearer s3cret"
    assert len(json.loads(first.body)["tags"]) == 30
    assert json.loads(second.body) == {"tags": ["package/p30"]}


def test_varnish_gets_a_pattern_of_exactly_the_keys() -> None:
    """A key may have characters that mean something in a pattern."""
    (request,) = requests("varnish", URL, ["archive/a/1.0.0+b", "catalog"])
    assert (request.method, request.headers["x-x07-purge"]) == ("PURGE", "s3cret")
    pattern = re.compile(request.headers["x-x07-keys"])
    assert pattern.search("archive/a/1.0.0+b")
    assert pattern.search("catalog")
    assert not any(map(pattern.search, ("archive/a/1x0.0+b", "package/catalog", "archive/a/1.0.00b")))


def test_a_template_gets_a_request_for_each_key_at_each_address() -> None:
    """With the key in its place, so encoded that it is one segment."""
    found = requests(
        "url-template", "https://a.example/{key},https://b.example/x?k={key}", ["package/a", "catalog"]
    )
    assert [request.url for request in found] == [
        "https://a.example/package%2Fa",
        "https://a.example/catalog",
        "https://b.example/x?k=package%2Fa",
        "https://b.example/x?k=catalog",
    ]


@pytest.mark.parametrize(
    ("kind", "urls"),
    [("fastly", ""), ("fastly", "edge.example"), ("url-template", URL), ("varnish", f"{URL}/{{key}}")],
)
def test_a_purge_without_its_address_is_refused_at_the_start(kind: str, urls: str) -> None:
    """Otherwise copies would silently stay."""
    with pytest.raises(SettingsError, match="PURGE_URLS"):
        load_settings(purge=kind, purge_urls=urls)
