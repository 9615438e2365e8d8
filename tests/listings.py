"""Search rows as an older worker wrote them: texts of any size, for a hundred packages at once."""

from __future__ import annotations

from typing import Final

LIST_PACKAGES: Final = """
    WITH made AS (
        INSERT INTO packages (name, created_by)
        SELECT 'pack-' || lpad(number::text, 3, '0'), (SELECT id FROM users LIMIT 1)
        FROM generate_series(1, :packages) AS number RETURNING id, name
    ), listed AS (
        INSERT INTO package_listings (package_id, name, latest_version, is_official, description,
                                      modules_count, facets, archetypes, archetype_document)
        SELECT id, name, '1.0.0', false, CAST(:description AS text), 1, CAST(:facets AS text[]),
               ARRAY['cli', 'web'], name
        FROM made RETURNING name
    )
    INSERT INTO search_names (name, scale_tested) SELECT name, false FROM listed RETURNING name
    """
"""Lists packages `pack-001` and so on, owned by the one user; each has this description and these facets."""
