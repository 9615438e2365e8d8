"""Compares screenshots with kept ones, which are small: a quarter of the width, and few colours.

Fonts differ a little from machine to machine. So both pictures are blurred, a page may be somewhat longer,
and a part of the pixels may differ. What moves, vanishes or changes its colours is a larger part.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Final

from PIL import Image, ImageChops, ImageFilter

KEPT: Final = Path(__file__).parent / "kept"
SCALE: Final = 4
COLOURS: Final = 16
BLUR: Final = 5
# Of 255, in the channel that differs most.
VISIBLE: Final = 12
MOST_LONGER: Final = 0.15
# Measured at 1,280 pixels: another font 0.003, a lost table 0.035, a narrow column 0.115.
TOLERANCE: Final = 0.02


def keep(name: str, screenshot: bytes) -> int:
    """Keep a screenshot (PNG) in place of the one before. Returns its size in bytes."""
    KEPT.mkdir(exist_ok=True)
    small = _small(screenshot).quantize(COLOURS, dither=Image.Dither.NONE)
    path = KEPT / f"{name}.png"
    small.save(path, optimize=True)
    return path.stat().st_size


def unlikeness(name: str, screenshot: bytes) -> float:
    """The share of a page that differs visibly from the kept screenshot, 0 to 1.

    It is 1 if the page has another width, is much longer or much shorter.
    """
    with Image.open(KEPT / f"{name}.png") as kept:
        before = kept.convert("RGB")
    now = _small(screenshot)
    if now.width != before.width or abs(now.height / before.height - 1) > MOST_LONGER:
        return 1.0
    now = now.resize(before.size, Image.Resampling.BOX)
    blurred = (each.filter(ImageFilter.GaussianBlur(BLUR)) for each in (before, now))
    red, green, blue = ImageChops.difference(*blurred).split()
    most = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    return sum(most.histogram()[VISIBLE:]) / (most.width * most.height)


def _small(screenshot: bytes) -> Image.Image:
    with Image.open(io.BytesIO(screenshot)) as full:
        return full.convert("RGB").reduce(SCALE)
