"""Scale metadata of a manifest and references to evidence."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import RegistryError
from shared.publish_errors import InvalidScaleEvidence, InvalidScaleMeta
from shared.scale import Scale, parse_evidence_ref, parse_scale
from shared.strict_json import Json

HOSTS = ("x07.io",)


@pytest.mark.parametrize(
    "meta", [None, [], "x", 1, {}, {"scale_classes_supported": None, "scale_tested": None}]
)
def test_a_manifest_without_scale_keys_has_the_defaults(meta: Json) -> None:
    """This includes a meta that is not an object."""
    assert parse_scale(meta, HOSTS, ()) == Scale(classes=(), tested=False, evidence_ref=None)


def test_classes_are_trimmed_lower_cased_sorted_and_unique() -> None:
    """Blank ones are dropped; the value may be a single string."""
    meta: Json = {"scale_classes_supported": [" Small-Team ", "a1", "", "small-team", "z" * 64]}
    assert parse_scale(meta, HOSTS, ()).classes == ("a1", "small-team", "z" * 64)
    assert parse_scale({"scale_classes_supported": " Solo "}, HOSTS, ()).classes == ("solo",)
    assert parse_scale({"scale_classes_supported": " "}, HOSTS, ()).classes == ()


@pytest.mark.parametrize(
    "meta",
    [
        {"scale_classes_supported": 1},
        {"scale_classes_supported": {}},
        {"scale_classes_supported": ["a", 1]},
        {"scale_classes_supported": ["a", None]},
        {"scale_classes_supported": "1a"},
        {"scale_classes_supported": "a_b"},
        {"scale_classes_supported": "a\n-\nb"},
        {"scale_classes_supported": "\u212a"},
        {"scale_classes_supported": "a" * 65},
        {"scale_tested": "true"},
        {"scale_tested": 1},
        {"scale_test_evidence_ref": 1},
        {"scale_test_evidence_ref": []},
    ],
)
def test_a_scale_key_of_a_wrong_type_or_value_is_refused(meta: Json) -> None:
    """All have the same code."""
    with pytest.raises(InvalidScaleMeta):
        parse_scale(meta, HOSTS, ())


def test_the_first_wrong_key_in_the_order_of_the_contract_is_told() -> None:
    """Classes, then tested, then evidence."""
    meta: dict[str, Json] = {
        "scale_test_evidence_ref": "nope",
        "scale_tested": 1,
        "scale_classes_supported": 1,
    }
    for key in ("scale_classes_supported", "scale_tested"):
        with pytest.raises(InvalidScaleMeta, match=key):
            parse_scale(meta, HOSTS, ())
        del meta[key]
    with pytest.raises(InvalidScaleEvidence):
        parse_scale(meta, HOSTS, ())


def test_evidence_makes_a_version_tested() -> None:
    """This holds even if the manifest says otherwise; a blank reference does not count."""
    meta: Json = {"scale_tested": False, "scale_test_evidence_ref": " https://X07.io/e/1.json "}
    assert parse_scale(meta, HOSTS, ()) == Scale((), True, "https://x07.io/e/1.json")
    assert parse_scale({"scale_test_evidence_ref": " "}, HOSTS, ()) == Scale()
    assert parse_scale({"scale_tested": True}, HOSTS, ()) == Scale(tested=True)


@pytest.mark.parametrize(
    ("text", "normalised"),
    [
        ("https://x07.io/evidence/hello.json", "https://x07.io/evidence/hello.json"),
        ("  HTTPS://X07.IO\n", "https://x07.io/"),
        ("https://x07.io:443/a", "https://x07.io/a"),
        ("https://deep.sub.x07.io/a/./b/../c d", "https://deep.sub.x07.io/a/c%20d"),
        ("https://x07.io/%2e%2e/\u00e9%3f", "https://x07.io/%C3%A9%3f"),
        ("https:\\\\x07.io\\a", "https://x07.io/a"),
        ("https://@x07.io/", "https://x07.io/"),
        ("https://fa\u00df.example/", "https://xn--fa-hia.example/"),
        ("s3://Bucket/a/../key.json", "s3://Bucket/key.json"),
        ("S3://bucket/k k", "s3://bucket/k%20k"),
        ("https://x07.io/" + "a" * 2033, "https://x07.io/" + "a" * 2033),
    ],
)
def test_a_reference_is_normalised_by_whatwg_rules(text: str, normalised: str) -> None:
    """The normalised form is stored, compared and returned; it is a fixed point."""
    hosts = ("x07.io", "xn--fa-hia.example")
    assert parse_evidence_ref(text, hosts, ()) == normalised
    assert parse_evidence_ref(normalised, hosts, ()) == normalised


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (" \u3000", "empty"),
        ("https://x07.io/" + "a" * 2034, "2048 bytes"),
        ("https://x07.io/" + "\u00e9" * 1100, "2048 bytes"),
        ("/evidence/hello.json", "absolute"),
        ("x07.io/e", "absolute"),
        ("https://", "absolute"),
        ("https://x07 .io/", "absolute"),
        ("https://x07.io:99999/", "absolute"),
        ("https://\ud800.x07.io/", "absolute"),
        ("https://x07.io/?", "query"),
        ("https://x07.io/?q", "query"),
        ("https://x07.io/#", "fragment"),
        ("ftp://user@x07.io/?q", "query"),
        ("https://user@x07.io/", "user info"),
        ("https://:secret@x07.io/", "user info"),
        ("http://x07.io/", "https or s3"),
        ("javascript:alert(1)", "https or s3"),
        ("file:///etc/passwd", "https or s3"),
        ("https://x07.io:8443/", "443"),
        ("https://127.0.0.1/", "IP address"),
        ("https://0x7f.1/", "IP address"),
        ("https://[::1]/", "IP address"),
        ("https://localhost/", "local"),
        ("https://api.LOCALHOST/", "local"),
        ("https://example.com/", "not allowed"),
        ("https://x07.io./", "not allowed"),
        ("https://evilx07.io/", "not allowed"),
        ("https://x07.io.example.com/", "not allowed"),
        ("s3:///key", "bucket and a key"),
        ("s3:key", "bucket and a key"),
        ("s3://bucket", "bucket and a key"),
        ("s3://bucket/", "bucket and a key"),
        ("s3://bucket/a/..", "bucket and a key"),
    ],
)
def test_any_other_reference_is_refused(text: str, reason: str) -> None:
    """In the order of the contract (6.5); an IP address or a local name is refused even when listed."""
    with pytest.raises(InvalidScaleEvidence, match=reason):
        parse_evidence_ref(text, ("x07.io", "localhost", "127.0.0.1", "[::1]"), ())


def test_no_allowed_host_means_no_https_reference() -> None:
    """For buckets, in contrast, an empty list allows all."""
    with pytest.raises(InvalidScaleEvidence):
        parse_evidence_ref("https://x07.io/", (), ())


def test_a_list_of_buckets_is_exact_and_case_sensitive() -> None:
    """A bucket is not a domain, so nothing is inside it."""
    assert parse_evidence_ref("s3://proof/k", (), ("proof",)) == "s3://proof/k"
    for bucket in ("Proof", "sub.proof", "other"):
        with pytest.raises(InvalidScaleEvidence, match="not allowed"):
            parse_evidence_ref(f"s3://{bucket}/k", (), ("proof",))


@given(
    st.text(st.characters())
    | st.text("htps3:/.x07io?#@[]%\\ ", max_size=40).map("https://x07.io".__add__)
    | st.text("/.@:?#[]%a\\", max_size=40).map("s3:".__add__)
)
def test_no_text_raises_anything_but_a_refusal(text: str) -> None:
    """An accepted reference is a fixed point."""
    with suppress(RegistryError):
        normalised = parse_evidence_ref(text, HOSTS, ())
        assert parse_evidence_ref(normalised, HOSTS, ()) == normalised
