"""Texts of advisories over HTTP: stored ones and refused ones (contract, 6.4)."""

from __future__ import annotations

from tests.audit import events
from tests.http.test_advisories import BROKEN, PATH, create, in_index, listed, published
from tests.stack import Registry

UNFIT = [
    {"summary": ""},
    {"summary": " \n\u3000"},
    {"summary": "x" * 513},
    {"details": "x" * 65_537},
    {"details": "\u20ac" * 21_846},
    {"url": "javascript:alert(1)"},
    {"url": "JAVASCRIPT://x07.io/%0aalert(1)"},
    {"url": "java\nscript:alert(1)"},
    {"url": "data:text/html,x"},
    {"url": "ftp://x07.io/a"},
    {"url": "//x07.io/a"},
    {"url": "/a"},
    {"url": "https:x07.io"},
    {"url": "https://"},
    {"url": "https://x07.io/a b"},
    {"url": "https://x07.io/\u0007"},
    {"url": 'https://x07.io/"onclick='},
    {"url": "https://[::1"},
    {"url": f"https://x07.io/{'a' * 2048}"},
]


async def test_text_that_readers_cannot_be_shown_is_refused(fs_registry: Registry) -> None:
    """Summary 1 to 512 characters, details to 65,536 bytes, url http or https; nothing is written."""
    alice = await published(fs_registry)
    for fields in UNFIT:
        answer = await fs_registry.http.post(PATH, json=BROKEN | fields, headers=alice)
        assert (answer.status_code, answer.json()["code"]) == (400, "X07REG_ADVISORY_INVALID"), fields
        assert await listed(fs_registry) == []
        assert await events(fs_registry) == []


HIDDEN = {
    "escape": "\x1b[2J",
    "delete": "\x7f",
    "next line": "\x85",
    "control sequence": "\x9b",
    "Arabic letter mark": "\u061c",
    "left-to-right mark": "\u200e",
    "line separator": "\u2028",
    "right-to-left override": "\u202e",
    "right-to-left isolate": "\u2067",
    "pop directional isolate": "\u2069",
    "symmetric swapping": "\u206a",
}


async def test_text_that_terminals_and_pages_show_otherwise_is_refused(fs_registry: Registry) -> None:
    """No control or bidirectional formatting character in summary, details or URL; the message names it."""
    alice = await published(fs_registry)
    for name, hidden in HIDDEN.items():
        for fields in (
            {"summary": f"Works.{hidden}x"},
            {"details": f"Works.{hidden}x"},
            {"url": f"https://x07.io/{hidden}x"},
        ):
            answer = await fs_registry.http.post(PATH, json=BROKEN | fields, headers=alice)
            assert (answer.status_code, answer.json()["code"]) == (400, "X07REG_ADVISORY_INVALID"), (
                name,
                fields,
            )
            if "url" not in fields:
                assert f"U+{ord(hidden[0]):04X}" in answer.json()["message"]
    assert await listed(fs_registry) == []


async def test_details_have_lines_and_a_summary_is_one(fs_registry: Registry) -> None:
    """Details may have tabs and line ends; both may use any script."""
    alice = await published(fs_registry)
    summary, hebrew = "\u05dc\u05d0 \u05e2\u05d5\u05dc\u05d4", "\u05dc\u05d7\u05db\u05d5\u05ea"
    fields = {"summary": summary, "details": f"1.\tStart it.\r\n2.\t{hebrew}\n"}
    advisory = await create(fs_registry, alice, **fields)
    assert (advisory["summary"], advisory["details"]) == (fields["summary"], fields["details"].strip())
    for line_end in "\t\n\r":
        body = BROKEN | {"summary": f"Does{line_end}not start."}
        answer = await fs_registry.http.post(PATH, json=body, headers=alice)
        assert (answer.status_code, answer.json()["code"]) == (400, "X07REG_ADVISORY_INVALID")


async def test_the_longest_text_is_stored_whole(fs_registry: Registry) -> None:
    """The length is counted after trimming."""
    alice = await published(fs_registry)
    url = "HTTP://x07.io/" + "a" * 2034
    fields = {"summary": " " + "\u20ac" * 512 + " ", "details": "d" * 65_536, "url": url}
    advisory = await create(fs_registry, alice, **fields)
    assert (advisory["summary"], advisory["details"]) == ("\u20ac" * 512, fields["details"])
    assert (await in_index(fs_registry))["0.1.0"] == [advisory]


MISSHAPEN = [
    {"kind": "evil"},
    {"kind": "Broken"},
    {"severity": "none"},
    {"severity": None},
    {"summary": None},
    {"summary": 7},
    {"url": 7},
    {"details": ["x"]},
    {"summary": "a\0b"},
    {"details": "a\0b"},
    {"url": "https://x07.io/\0"},
]


async def test_a_body_of_another_shape_is_422(fs_registry: Registry) -> None:
    """An unknown kind or severity, a wrong type, NUL."""
    alice = await published(fs_registry)
    for fields in MISSHAPEN:
        answer = await fs_registry.http.post(PATH, json=BROKEN | fields, headers=alice)
        assert (answer.status_code, answer.json()["code"]) == (422, "X07REG_UNPROCESSABLE_BODY"), fields
        assert await listed(fs_registry) == []


REQUIRED = ["kind", "severity", "summary"]


async def test_a_missing_field_is_422_and_named(fs_registry: Registry) -> None:
    """Only url and details are optional."""
    alice = await fs_registry.add_publisher("alice", "owner.manage")
    for missing in REQUIRED:
        body = {key: value for key, value in BROKEN.items() if key != missing}
        answer = await fs_registry.http.post(PATH, json=body, headers=alice)
        assert (answer.status_code, answer.json()["code"]) == (422, "X07REG_UNPROCESSABLE_BODY"), missing
        assert missing in answer.json()["message"]
