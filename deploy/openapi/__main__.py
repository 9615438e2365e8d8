"""`python -m deploy.openapi` writes openapi/openapi.json; `--check` reports whether it is out of date."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from deploy.openapi.document import render_document

DOCUMENT: Final = Path(__file__).parents[2] / "openapi" / "openapi.json"


def main(arguments: list[str]) -> int:
    """Write or check the document. Returns the exit status."""
    rendered = render_document()
    if arguments == ["--check"]:
        if DOCUMENT.is_file() and DOCUMENT.read_bytes() == rendered:
            return 0
        print("openapi/openapi.json is out of date: run `make openapi`", file=sys.stderr)
        return 1
    DOCUMENT.write_bytes(rendered)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
