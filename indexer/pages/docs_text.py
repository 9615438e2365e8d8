"""Renders the documentation that a publisher wrote: CommonMark to HTML that is safe in a page."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import nh3
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

# No images, which would be requests to another host; no ids and no classes, which are the page's own.
TAGS: Final = {
    *("a", "b", "blockquote", "br", "code", "dd", "del", "dl", "dt", "em", "hr", "i", "kbd", "li", "ol", "p"),
    *("pre", "s", "strong", "sub", "sup", "ul"),
    *("h3", "h4", "h5", "h6"),
    *("table", "tbody", "td", "th", "thead", "tr"),
}
ATTRIBUTES: Final = {"a": {"href"}, "ol": {"start"}}
SCHEMES: Final = {"http", "https", "mailto"}
ABSOLUTE: Final = tuple(f"{scheme}:" for scheme in SCHEMES)
# Headings of the text stand below the page's own h2.
FIRST_LEVEL: Final = 3
LAST_LEVEL: Final = 6

_MARKDOWN: Final = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")


@lru_cache(maxsize=64)
def render_docs(text: str) -> Markup:
    """The HTML of a documentation text; empty if the text is blank."""
    tokens = _MARKDOWN.parse(text)
    _shift_headings(tokens)
    html = _MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {})
    cleaned = nh3.clean(
        html,
        tags=TAGS,
        attributes=ATTRIBUTES,
        attribute_filter=_kept,
        url_schemes=SCHEMES,
        link_rel="nofollow noopener ugc",
    )
    return Markup(cleaned.strip())  # noqa: S704 - nh3 has cleaned it


def _kept(_tag: str, name: str, value: str) -> str | None:
    """The value of an attribute. A relative address has no meaning here, so such a link is none."""
    return value if name != "href" or value.lower().startswith(ABSOLUTE) else None


def _shift_headings(tokens: Sequence[Token]) -> None:
    """Put headings below the page's own, and leave no level out, for people who hear a page."""
    last = FIRST_LEVEL - 1
    for token in tokens:
        if token.type == "heading_open":
            last = min(int(token.tag[1]) + FIRST_LEVEL - 1, last + 1, LAST_LEVEL)
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{last}"
