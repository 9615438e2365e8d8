"""SQL of the columns of `package_listings` that answers show, cut to the limits of new manifests.

The current worker writes no text beyond those limits (shared/manifest_limits.py), but workers of older
releases did: up to a megabyte per package, which would fill the memory of a write process.
"""

from __future__ import annotations

from typing import Final

from shared.manifest_limits import MAX_DESCRIPTION_BYTES, MAX_FACET_BYTES, MAX_FACETS

DESCRIPTION: Final = f"left(description, {MAX_DESCRIPTION_BYTES}) AS description"
"""Cut to this number of characters here, and later to this number of bytes."""
FACETS: Final = f"""
    ARRAY(SELECT facet FROM unnest(facets[1:{MAX_FACETS}]) AS facet
          WHERE octet_length(facet) <= {MAX_FACET_BYTES}) AS facets
    """  # noqa: S608 - no value is in the text
