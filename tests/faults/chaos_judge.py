"""The judge of the chaos test: knows what was requested and what readers got, and none of our code.

It keeps the versions that each reader has listed. It counts and describes each violation: a listed version
that disappears, a line without its archive, an acknowledged version that is missing at the end.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field

import httpx

Key = tuple[str, str]
"""A package and a version."""


def index_path(name: str) -> str:
    """The path of an index file whose name has at least four characters."""
    return f"/index/{name[:2]}/{name[2:4]}/{name}"


def parse_lines(body: bytes) -> dict[str, dict[str, object]]:
    """The lines of an index file by version."""
    lines = [json.loads(line) for line in body.splitlines()]
    return {line["version"]: line for line in lines}


@dataclass
class Judge:
    """Everything known so far. sent: SHA-256 of each archive that was sent; acknowledged: those answered 200.

    yanked: the last acknowledged state; None where it is open. wrong: the number of violations by kind;
    told: their descriptions.
    """

    sent: dict[Key, str] = field(default_factory=dict)
    acknowledged: set[Key] = field(default_factory=set)
    yanked: dict[Key, bool | None] = field(default_factory=dict)
    wrong: Counter[str] = field(default_factory=Counter)
    told: list[str] = field(default_factory=list)
    reads: int = 0
    _seen: dict[tuple[str, str], set[str]] = field(default_factory=dict)

    def object(self, kind: str, what: str) -> None:
        """Count a violation."""
        self.wrong[kind] += 1
        self.told.append(f"{kind}: {what}")

    def read(self, reader: str, name: str, body: bytes) -> list[str]:
        """Note an index file that a reader returned.

        Returns the versions that this reader lists for the first time.
        """
        self.reads += 1
        lines = parse_lines(body)
        seen = self._seen.setdefault((reader, name), set())
        for version in sorted(seen - lines.keys()):
            self.object("gone", f"{reader} listed {name} {version}, and does not any more")
        for version, line in lines.items():
            if line["cksum"] != self.sent.get((name, version)):
                self.object("foreign", f"{reader} lists {name} {version} with bytes that nobody sent")
        new = sorted(lines.keys() - seen)
        seen.update(lines)
        return new

    async def check_archive(self, http: httpx.AsyncClient, name: str, version: str) -> None:
        """Check that a listed version downloads with the right bytes."""
        answer = await http.get(f"/v1/packages/{name}/{version}/download")
        if answer.status_code in (200, 404) and digest_of(answer) != self.sent.get((name, version)):
            self.object("without archive", f"{name} {version} is listed: {answer.status_code}")

    async def decide(self, http: httpx.AsyncClient, reader: str) -> None:
        """At the end, check that a reader has everything acknowledged, and the last requested state."""
        for name in sorted({name for name, _ in self.sent}):
            answer = await http.get(f"{index_path(name)}?x07_refresh=1")
            lines = parse_lines(answer.content) if answer.status_code == 200 else {}
            for version in sorted(version for known, version in self.acknowledged if known == name):
                if version not in lines:
                    self.object("lost", f"{name} {version} was acknowledged, and {reader} does not list it")
                elif self.yanked.get((name, version), False) not in (None, lines[version]["yanked"]):
                    self.object("wrong yank", f"{name} {version} is not as it was asked last")
                else:
                    await self.check_archive(http, name, version)


def digest_of(answer: httpx.Response) -> str | None:
    """The SHA-256 of a download."""
    return hashlib.sha256(answer.content).hexdigest() if answer.status_code == 200 else None
