"""Routing: each row of contract 3.1, paths on the index host, and the mapping in both directions."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.read.routes import BlobRoute, FixedPage, Redirect, canonical_path, canonical_route, handles, resolve
from shared.blobs import (
    CATALOG_KEY,
    CHECKPOINT_KEY,
    CONFIG_KEY,
    advisories_key,
    archive_key,
    index_key,
    log_key,
    metadata_key,
    owners_key,
    package_key,
)
from shared.errors import RegistryError
from shared.names import PackageName, shard_path
from shared.versions import VersionText

HOST = b"index.x07.io"
NAMES = st.text(alphabet="abv1-_09", min_size=1, max_size=12).map(PackageName)
VERSIONS = st.sampled_from(["0.1.0", "1.0.0-rc.1", "1.0.0+build.5", "10.20.30"]).map(VersionText)
PATH, NAME, NOT_FOUND = "X07REG_INDEX_PATH_INVALID", "X07REG_INVALID_NAME", "X07REG_NOT_FOUND"


def scope(target: bytes, host: bytes = b"registry.x07.io", method: str = "GET") -> dict[str, Any]:
    """The parts of a request that routing uses."""
    return {"method": method, "raw_path": target, "headers": [(b"host", host)]}


def outcome(target: bytes, host: bytes = b"registry.x07.io") -> str:
    """The storage key that a target names, or its error's code."""
    try:
        route = resolve(scope(target, host), HOST)
    except RegistryError as error:
        return error.code
    assert isinstance(route, BlobRoute)
    return route.key


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"catalog.json", CATALOG_KEY),
        (b"config.json", CONFIG_KEY),
        (b"%63atalog.json", CATALOG_KEY),
        (b"he/ll/hello", "index/he/ll/hello"),
        (b"he%2Fll%2Fhello", "index/he/ll/hello"),
        (b"1/a", "index/1/a"),
        (b"2/ab", "index/2/ab"),
        (b"3/a/abc", "index/3/a/abc"),
        (b"../he/ll/hello", PATH),
        (b"he/../hello", PATH),
        (b"he/ll/..", PATH),
        (b"%2e%2e/he/ll/hello", PATH),
        (b"he/ll/%2E%2e", PATH),
        (b"a..b", PATH),
        (b"he\\ll\\hello", PATH),
        (b"he/ll/hel%5Clo", PATH),
        (b"he/ll/", PATH),
        (b"/", PATH),
        (b"/he/ll/hello", PATH),
        (b"he//ll/hello", PATH),
        (b"hello", PATH),
        (b"he/lo/hello", PATH),
        (b"x/hello", PATH),
        (b"HE/LL/hello", PATH),
        (b"1/ab", PATH),
        (b"3/b/abc", PATH),
        (b"he/ll/Hello", NAME),
        (b"HE/LL/HELLO", NAME),
        (b"he/ll/hel%00lo", NAME),
        (b"%00", NAME),
        (b"he/ll/hello.gz", NAME),
        (b"catalog.json.gz", NAME),
        (b"he/ll/hel lo", NAME),
        (b"he/ll/h%C3%A9llo", NAME),
        (b"he/ll/.", NAME),
        (b"he/ll/%ff", "X07REG_BAD_REQUEST"),
        (b"he/ll/%c0%ae%c0%ae", "X07REG_BAD_REQUEST"),
        (b"he/ll/%zz", "X07REG_BAD_REQUEST"),
        (b"he/ll/%2", "X07REG_BAD_REQUEST"),
    ],
)
def test_a_path_below_the_index_names_one_blob_or_is_refused(path: bytes, expected: str) -> None:
    """The checks of section 3.1 come in their order."""
    assert outcome(b"/index/" + path) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"hello/0.1.0/download", "dl/hello/0.1.0/download"),
        (b"hello/0.1.0/metadata", "dl/hello/0.1.0/metadata"),
        (b"hello/1.0.0%2Bbuild/download", "dl/hello/1.0.0+build/download"),
        (b"hello/1.0.0+build/download", "dl/hello/1.0.0+build/download"),
        (b"Hello/0.1.0/download", NAME),
        (b"hel%2Flo/0.1.0/download", NAME),
        (b"%2e%2e/0.1.0/download", NAME),
        (b"hel%00lo/0.1.0/metadata", NAME),
        (b"hello/v1/download", "X07REG_INVALID_VERSION"),
        (b"hello/1.0/metadata", "X07REG_INVALID_VERSION"),
        (b"hello/..%2F1.0.0/download", "X07REG_INVALID_VERSION"),
        (b"hello/%ff/download", "X07REG_BAD_REQUEST"),
        (b"hello/owners/download", NOT_FOUND),
        (b"hello/0.1.0", NOT_FOUND),
        (b"hello/0.1.0/download/", NOT_FOUND),
        (b"hello//download", NOT_FOUND),
        (b"/0.1.0/download", NOT_FOUND),
    ],
)
def test_a_release_path_names_one_blob_or_is_refused(path: bytes, expected: str) -> None:
    """The path is split as sent and then decoded, so that an encoded slash is part of a bad name."""
    assert outcome(b"/v1/packages/" + path) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"checkpoint", CHECKPOINT_KEY),
        (b"tile/0/000", "log/tile/0/000"),
        (b"tile/12/x001/x234/067.p/200", "log/tile/12/x001/x234/067.p/200"),
        (b"tile/entries/000.p/1", "log/tile/entries/000.p/1"),
        (b"tile%2F0%2F000", "log/tile/0/000"),
        (b"", NOT_FOUND),
        (b"tile/0/000.gz", NOT_FOUND),
        (b"tile/0/1", NOT_FOUND),
        (b"tile/entries/../0/000", NOT_FOUND),
        (b"tile/0/000/", NOT_FOUND),
        (b"tile/0/%zz", "X07REG_BAD_REQUEST"),
    ],
)
def test_a_path_below_the_log_names_one_file_of_it_or_nothing(path: bytes, expected: str) -> None:
    """This holds on every host."""
    assert outcome(b"/log/" + path) == expected
    assert outcome(b"/log/" + path, HOST) == expected


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/dl/hello/0.1.0/download", "dl/hello/0.1.0/download"),
        (b"/dl/hello/0.2.0%2Bb.1/metadata", "dl/hello/0.2.0+b.1/metadata"),
        (b"/dl/hello/package", "dl/hello/package"),
        (b"/dl/Hello/package", NAME),
        (b"/dl/hello/1/download", "X07REG_INVALID_VERSION"),
        (b"/dl/%2E%2E/package", NAME),
    ],
)
def test_a_mirrors_own_configuration_leads_to_its_archives(target: bytes, expected: str) -> None:
    """Its `dl` ends in `/dl/`, like the paths of the files; it works on the index host too."""
    for host in (b"", HOST):
        assert outcome(target, host) == expected
        assert handles(scope(target, host), HOST)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/config.json", CONFIG_KEY),
        (b"/catalog.json", CATALOG_KEY),
        (b"/he/ll/hello", "index/he/ll/hello"),
        (b"//he/ll/hello", "index/he/ll/hello"),
        (b"/v1/ab/v1ab", "index/v1/ab/v1ab"),
        (b"/he%2Fll%2Fhello", NAME),
        (b"/he/lo/hello", PATH),
        (b"/..", PATH),
        (b"/index/he/ll/hello", "index/he/ll/hello"),
        (b"/v1/packages/hello/0.1.0/download", "dl/hello/0.1.0/download"),
        (b"/v1/nothing", NOT_FOUND),
        (b"/openapi/nothing", NOT_FOUND),
    ],
)
@pytest.mark.parametrize("host", [b"index.x07.io", b"INDEX.x07.IO", b"index.x07.io:8443"])
def test_the_index_host_serves_the_index_from_its_root_undecoded(
    target: bytes, expected: str, host: bytes
) -> None:
    """Contract 3.6; a package `v1ab` does not vanish behind the API's prefix."""
    assert outcome(target, host) == expected


@pytest.mark.parametrize("host", [b"registry.x07.io", b"index.x07.io.evil", b"xindex.x07.io", b""])
def test_no_other_host_does(host: bytes) -> None:
    """On other hosts these targets are unknown."""
    for target in (b"/config.json", b"/catalog.json", b"/he/ll/hello"):
        assert outcome(target, host) == NOT_FOUND


@pytest.mark.parametrize("host", [b"registry.x07.io", HOST])
def test_pages_and_redirects_are_the_same_on_every_host(host: bytes) -> None:
    """The path `/` is the service document, on the index host too."""
    assert resolve(scope(b"/", host), HOST) is FixedPage.SERVICE
    assert resolve(scope(b"/healthz", host), HOST) is FixedPage.HEALTH
    assert resolve(scope(b"/readyz", host), HOST) is FixedPage.READY
    assert resolve(scope(b"/index", host), HOST) == Redirect(308, "/index/")
    assert resolve(scope(b"/index/", host), HOST) == Redirect(307, "/index/catalog.json")


@given(NAMES, VERSIONS)
def test_a_canonical_target_leads_back_to_its_blob(name: PackageName, version: VersionText) -> None:
    """The fast path answers this target as the application would."""
    of_log = (CHECKPOINT_KEY, log_key("tile/0/000"), log_key("tile/entries/x001/000"))
    of_release = (archive_key(name, version), metadata_key(name, version), advisories_key(name, version))
    of_package = (index_key(name), package_key(name), owners_key(name), *of_release)
    for key in (*of_package, CATALOG_KEY, *of_log):
        target, route = canonical_path(key), canonical_route(key)
        assert resolve(scope(target), HOST) == route
        assert route.key == key
        assert handles(scope(target), HOST)


@given(NAMES)
def test_every_package_is_at_the_root_of_the_index_host_too(name: PackageName) -> None:
    """This holds for any name, unless a fixed page or document of every host has that path."""
    target = f"/{shard_path(name)}".encode()
    assert outcome(target, HOST) == index_key(name)


@given(st.binary(max_size=60), st.sampled_from([b"registry.x07.io", HOST]))
def test_no_target_raises_anything_but_a_typed_error(tail: bytes, host: bytes) -> None:
    """A blob's key is always one that storage accepts."""
    for target in (
        b"/" + tail,
        b"/index/" + tail,
        b"/v1/packages/" + tail + b"/1.0.0/download",
        b"/dl/" + tail + b"/package",
        b"/log/" + tail,
    ):
        key = outcome(target, host) if target not in (b"/", b"/index", b"/index/") else "x"
        assert ".." not in key
        assert "\\" not in key
        assert "\0" not in key


def test_what_the_write_tier_answers_is_not_handled() -> None:
    """When both tiers share an address, the read tier handles only its own requests."""
    for target in (b"/", b"/healthz", b"/readyz", b"/openapi", b"/v1/packages/publish", b"/v1/search"):
        assert not handles(scope(target, HOST), HOST)
    for path in (b"hello", b"hello/owners", b"hello/1.0.0/advisories"):
        for method, is_read in (("GET", True), ("HEAD", True), ("POST", False), ("PUT", False)):
            assert handles(scope(b"/v1/packages/" + path, HOST, method), HOST) is is_read
    assert not handles(scope(b"/he/ll/hello"), HOST)
    assert handles(scope(b"/he/ll/hello", HOST), HOST)
