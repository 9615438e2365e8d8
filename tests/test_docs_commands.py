"""Every `x07-registry` command in a document exists, with its options."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.cli.app import command_line
from tests.docs_tables import DOCS

ROOT = DOCS.parent
PAGES = [
    path
    for path in (*sorted(DOCS.rglob("*.md")), *sorted(ROOT.glob("deploy/*/README.md")), ROOT / "README.md")
    if "x07-registry " in path.read_text()
]
LINE = re.compile(r"^\s*(?:\w+=\S+ )*(?:\.venv/bin/)?x07-registry (.+)$", re.MULTILINE)
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHELL = ("sh", "")


def commands_of(text: str) -> Iterator[list[str]]:
    """The arguments of each command in the shell and plain blocks of a page, or of a part of it."""
    for block in (block for language, block in BLOCK.findall(text) if language in SHELL):
        for line in LINE.findall(block.replace("\\\n", " ")):
            words = shlex.split(line, comments=True)
            yield words[: next((at for at, word in enumerate(words) if word in ("|", ">", "&&")), None)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_exist(page: Path) -> None:
    """Readers can copy the commands."""
    for words in commands_of(page.read_text()):
        command = command_line()
        while hasattr(command, "commands"):
            assert words
            assert words[0] in command.commands, words
            command = command.commands[words.pop(0)]
        known = {option for parameter in command.params for option in parameter.opts}
        options = {word.partition("=")[0] for word in words if word.startswith("-")}
        assert options <= known, (page.name, command.name, options - known)
