"""Scale metadata of a manifest, and references to scale evidence (contract, 4.8 and 6.5)."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from ada_url import URL, HostType

from shared.publish_errors import InvalidScaleEvidence, InvalidScaleMeta
from shared.strict_json import Json
from shared.text import lower_ascii, rust_quote, trim

MAX_CLASS_BYTES: Final = 64
MAX_EVIDENCE_REF_BYTES: Final = 2048

_CLASS = re.compile(r"[a-z][a-z0-9-]*")


@dataclass(frozen=True, slots=True)
class Scale:
    """The scale metadata of a version. classes: sorted, unique. evidence_ref: a normalised URL.

    A version with evidence is tested.
    """

    classes: tuple[str, ...] = ()
    tested: bool = False
    evidence_ref: str | None = None


def parse_scale(meta: Json, allowed_hosts: Collection[str], allowed_buckets: Collection[str]) -> Scale:
    """The scale keys of a manifest's `meta`; the defaults when it is not an object.

    allowed_hosts, allowed_buckets: as for parse_evidence_ref. Raises InvalidScaleMeta and
    InvalidScaleEvidence, for the first wrong key in the order of the contract.
    """
    if not isinstance(meta, dict):
        return Scale()
    classes = _parse_classes(meta.get("scale_classes_supported"))
    tested = _parse_tested(meta.get("scale_tested"))
    evidence_ref = _parse_optional_evidence_ref(
        meta.get("scale_test_evidence_ref"), allowed_hosts, allowed_buckets
    )
    return Scale(classes, tested or evidence_ref is not None, evidence_ref)


def parse_evidence_ref(text: str, allowed_hosts: Collection[str], allowed_buckets: Collection[str]) -> str:
    """The reference as a normalised URL (WHATWG). Raises InvalidScaleEvidence; fetches nothing.

    allowed_hosts: lower-case, subdomains included; none: no https reference at all.
    allowed_buckets: exact names; none: any bucket.
    """
    trimmed = trim(text)
    if not trimmed:
        raise InvalidScaleEvidence("evidence reference must not be empty")
    if len(trimmed.encode(errors="surrogatepass")) > MAX_EVIDENCE_REF_BYTES:
        raise InvalidScaleEvidence(f"evidence reference must have at most {MAX_EVIDENCE_REF_BYTES} bytes")
    try:
        url = URL(trimmed)
    except ValueError:
        raise InvalidScaleEvidence("evidence reference must be an absolute URL") from None
    # `search` and `hash` are empty for a bare `?` and `#` too; the serialised URL keeps them.
    if "?" in url.href or "#" in url.href:
        raise InvalidScaleEvidence("evidence reference must have no query and no fragment")
    if url.username or url.password:
        raise InvalidScaleEvidence("evidence reference must have no user info")
    match url.protocol:
        case "https:":
            _require_allowed_host(url, allowed_hosts)
        case "s3:":
            _require_allowed_object(url, allowed_buckets)
        case _:
            raise InvalidScaleEvidence("evidence reference must be an https or s3 URL")
    return url.href


def _require_allowed_host(url: URL, allowed_hosts: Collection[str]) -> None:
    host = url.hostname
    if url.port:  # 443, the default, is normalised away
        raise InvalidScaleEvidence("https evidence reference must use port 443")
    if url.host_type != HostType.DEFAULT:
        raise InvalidScaleEvidence("https evidence reference must name a host, not an IP address")
    if _is_within(host, "localhost"):
        raise InvalidScaleEvidence("https evidence reference must not be local")
    if not any(_is_within(host, allowed) for allowed in allowed_hosts):
        raise InvalidScaleEvidence(f"https evidence host {rust_quote(host)} is not allowed")


def _require_allowed_object(url: URL, allowed_buckets: Collection[str]) -> None:
    bucket = url.hostname
    if not bucket or not url.pathname.lstrip("/"):
        raise InvalidScaleEvidence("s3 evidence reference must name a bucket and a key")
    if allowed_buckets and bucket not in allowed_buckets:
        raise InvalidScaleEvidence(f"s3 evidence bucket {rust_quote(bucket)} is not allowed")


def _is_within(host: str, domain: str) -> bool:
    """True if the host is the domain or one of its subdomains."""
    return host == domain or host.endswith(f".{domain}")


def _parse_classes(value: Json) -> tuple[str, ...]:
    match value:
        case None:
            return ()
        case str():
            items: list[Json] = [value]
        case list():
            items = value
        case _:
            raise InvalidScaleMeta("meta.scale_classes_supported must be a string or an array of strings")
    return tuple(sorted(set(filter(None, map(_parse_class, items)))))


def _parse_class(item: Json) -> str:
    """A class name, lower-cased; empty when blank."""
    if not isinstance(item, str):
        raise InvalidScaleMeta("meta.scale_classes_supported must hold strings only")
    name = lower_ascii(trim(item))
    if name and (len(name) > MAX_CLASS_BYTES or not _CLASS.fullmatch(name)):
        raise InvalidScaleMeta(f"meta.scale_classes_supported has an invalid class {rust_quote(name)}")
    return name


def _parse_tested(value: Json) -> bool:
    if value is None:
        return False
    if not isinstance(value, bool):
        raise InvalidScaleMeta("meta.scale_tested must be a boolean")
    return value


def _parse_optional_evidence_ref(
    value: Json, allowed_hosts: Collection[str], allowed_buckets: Collection[str]
) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidScaleMeta("meta.scale_test_evidence_ref must be a string")
    return parse_evidence_ref(value, allowed_hosts, allowed_buckets) if trim(value) else None
