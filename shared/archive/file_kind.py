"""Recognises files that are not tar archives by their first bytes, for helpful refusals (contract, 4.2)."""

from __future__ import annotations

import re
from typing import Final

HEAD_BYTES: Final = 64

_UNCOMPRESSED: Final = "; an archive must be an uncompressed tar"
_AS_IT_IS: Final = "; send the archive as it is, with `curl --data-binary @FILE`"
# No tar archive begins like these, because its first header would need a name that is not allowed.
_KINDS: Final = (
    (rb"\x1f\x8b", f"this is gzip{_UNCOMPRESSED}"),
    (rb"BZh[1-9](1AY&SY|\x17rE8P\x90)", f"this is bzip2{_UNCOMPRESSED}"),
    (rb"\xfd7zXZ\x00", f"this is xz{_UNCOMPRESSED}"),
    (rb"\x28\xb5\x2f\xfd", f"this is zstd{_UNCOMPRESSED}"),
    (rb"\x04\x22\x4d\x18", f"this is lz4{_UNCOMPRESSED}"),
    (rb"\x1f[\x9d\xa0]", f"this is compress (.Z){_UNCOMPRESSED}"),
    (rb"PK(\x03\x04|\x05\x06)", f"this is zip{_UNCOMPRESSED}"),
    (rb"7z\xbc\xaf\x27\x1c", f"this is 7-Zip{_UNCOMPRESSED}"),
    (rb"\xef\xbb\xbf|\xff\xfe|\xfe\xff", f"this is text with a byte order mark{_UNCOMPRESSED}"),
    (rb"\s*[{\[]\s*\"", f"this is JSON{_UNCOMPRESSED}"),
    (rb"\s*<[!?a-zA-Z]", f"this is HTML or XML{_UNCOMPRESSED}"),
    (rb"--[!-~]+\r\n", f"this is a web form{_AS_IT_IS}"),
)


def other_kind(head: bytes) -> str | None:
    """Why a file with these first bytes (up to HEAD_BYTES) is not a tar archive; None if it may be one."""
    if not head:
        return f"the body is empty{_AS_IT_IS}"
    return next((reason for pattern, reason in _KINDS if re.match(pattern, head)), None)
