"""Finds a page of names, and how many there are, in one step of the database instead of six.

plpgsql plans `EXECUTE` for the values of each call: a frequent text is read from an ordered index, a rare
one is found by its trigrams. The function is stable, so that all of it sees one snapshot.
"""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0016"

# Names that differ from a text only in `-`, `_` and blanks have the same letters and digits.
LETTERS = """
    CREATE INDEX search_names_letters_idx ON search_names (translate(name, '-_', ''))
    """

# known_total: the total that the caller knows for known_change, a state of the names; -1 if it knows none. A
# trigger keeps the totals for one or two characters. tier 0: the name itself, 1: names with the same letters
# and digits, 2: names that begin with the text, 3: the others, which are read only if the page needs them.
SEARCH = r"""
    CREATE FUNCTION search_page(
        q text, only_tested boolean, page_limit bigint, page_offset bigint,
        known_change bigint, known_total bigint
    ) RETURNS TABLE (place bigint, name text, total bigint, change bigint)
    LANGUAGE plpgsql STABLE ROWS 20 SET work_mem = '32MB' AS $$
    DECLARE
        tested text := CASE WHEN only_tested THEN 'AND scale_tested' ELSE '' END;
        pattern text := '%' || regexp_replace(q, '([\\%_])', '\\\1', 'g') || '%';
        letters text := translate(q, '-_ ', '');
        same text[] := '{}';
        is_counted boolean := true;
        by_grams text := '';
        page_end bigint := page_offset + page_limit;
    BEGIN
        SELECT COALESCE((SELECT t.change FROM search_totals t WHERE gram = ''), 0)
             + (SELECT count(*) FROM search_total_changes WHERE gram = '') INTO change;
        IF length(q) <= 2 THEN
            SELECT COALESCE((SELECT CASE WHEN only_tested THEN t.scale_tested ELSE t.packages END
                             FROM search_totals t WHERE gram = q), 0)
                 + COALESCE((SELECT sum(CASE WHEN only_tested THEN c.scale_tested ELSE c.packages END)
                             FROM search_total_changes c WHERE gram = q), 0) INTO total;
            IF total <= 1000 AND q <> '' THEN
                by_grams := 'AND short_grams(name) @> ARRAY[$1]';
            END IF;
        ELSIF change = known_change AND known_total >= 0 THEN
            total := known_total;
            is_counted := false;
        ELSE
            EXECUTE format('SELECT count(*) FROM search_names WHERE name LIKE $1 %s', tested)
            INTO total USING pattern;
        END IF;
        IF letters <> '' THEN
            EXECUTE format(
                $q$SELECT COALESCE(array_agg(name), '{}') FROM search_names
                   WHERE translate(name, '-_', '') = $1 AND name <> $2 %s$q$, tested)
            INTO same USING letters, q;
        END IF;
        IF is_counted THEN
            total := total + (SELECT count(*) FROM unnest(same) AS s WHERE position(q IN s) = 0);
        END IF;
        place := NULL;
        IF page_limit = 0 OR page_offset >= total THEN
            RETURN NEXT;
        ELSIF q = '' THEN
            RETURN QUERY EXECUTE format(
                $q$SELECT row_number() OVER (ORDER BY found.name), found.name, $1, $2
                   FROM (SELECT name FROM search_names WHERE true %s
                         ORDER BY name LIMIT $3 OFFSET $4) found$q$,
                tested)
            USING total, change, page_limit, page_offset;
        ELSE
            RETURN QUERY EXECUTE format(
                $q$WITH same AS MATERIALIZED (
                       SELECT name COLLATE "C" AS name FROM unnest($8) AS name
                   ), beginning AS MATERIALIZED (
                       SELECT name FROM search_names
                       WHERE name >= $1 AND name < $2 AND name <> ALL ($8) %1$s
                       ORDER BY octet_length(name), name LIMIT $3
                   ), inside AS MATERIALIZED (
                       SELECT name FROM search_names
                       WHERE name LIKE $4 AND NOT (name >= $1 AND name < $2) AND name <> ALL ($8) %1$s %2$s
                       ORDER BY octet_length(name), name
                       LIMIT GREATEST(0, $3 - (SELECT count(*) FROM beginning) - cardinality($8))
                   )
                   SELECT row_number() OVER (ORDER BY tier, octet_length(name), name), name, $5, $6
                   FROM (SELECT name, tier
                         FROM (SELECT name, 1 AS tier FROM same
                               UNION ALL SELECT name, CASE WHEN name = $1 THEN 0 ELSE 2 END FROM beginning
                               UNION ALL SELECT name, 3 FROM inside) matching
                         ORDER BY tier, octet_length(name), name LIMIT $9 OFFSET $7) found$q$,
                tested, by_grams)
            USING q, q || chr(1114111), page_end, pattern, total, change, page_offset, same, page_limit;
        END IF;
    END
    $$
    """


def upgrade() -> None:
    """Expand only: a new index, and a function that older servers do not call."""
    op.execute(LETTERS)
    op.execute(SEARCH)
