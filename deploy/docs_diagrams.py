"""Draws the diagrams of the documentation, which are text in the repository, as pictures in the site."""

from __future__ import annotations

from base64 import b64encode
from html import escape
from typing import Any

from markdown_svgbob.wrapper import text2svg


def draw(source: str, language: str, css_class: str, options: Any, md: Any, **_: Any) -> str:
    """The picture of a ```bob block, for pymdownx.superfences. It shrinks to the width of the page.

    An image, because the styles of an SVG that stands in the page itself would apply to the whole page.
    """
    picture = b64encode(text2svg(source)).decode()
    return f'<img class="{css_class}" alt="{escape(source)}" src="data:image/svg+xml;base64,{picture}">'
