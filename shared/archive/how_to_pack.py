"""Tells publishers in refusals how to pack an archive that is accepted; see docs/packing.md."""

from __future__ import annotations

from typing import Final

HOW_TO_PACK: Final = (
    "pack with `tar --format=gnu` (bsdtar and macOS: `COPYFILE_DISABLE=1 tar --format=gnutar`;"
    " git: `git archive HEAD^{tree}`)"
)
AT_THE_ROOT: Final = "pack with `tar --format=gnu -cf FILE -C DIR x07-package.json modules`"
