"""Names in a module. Each function returns the name as written, or raises X07AstInvalid."""

from __future__ import annotations

import re

from api.write.archive.x07ast.node import Node
from shared.text import rust_quote, trim

_SEGMENT = r"[A-Za-z_][A-Za-z0-9_-]*+"
_SYMBOL = re.compile(rf"{_SEGMENT}(?:\.{_SEGMENT})*+")
_LOCAL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*+")
_TYPE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*+")


def symbol(node: Node) -> str:
    """A module id, or a name inside a module: segments joined by dots. White space around it is ignored."""
    text = node.text()
    if not _SYMBOL.fullmatch(trim(text)):
        raise node.error(f"invalid symbol: {rust_quote(text)}")
    return text


def local_name(node: Node) -> str:
    """A name without dots and dashes."""
    return require_local_name(node.text(), node)


def require_local_name(text: str, node: Node) -> str:
    """The text if it is a local name. node: the value that contains it."""
    if not _LOCAL_NAME.fullmatch(text):
        raise node.error(f"invalid local name: {rust_quote(text)}")
    return text


def type_name(node: Node) -> str:
    """A local name that does not start with an underscore."""
    text = node.text()
    if not _TYPE_NAME.fullmatch(text):
        raise node.error(f"invalid type name: {rust_quote(text)}")
    return text
