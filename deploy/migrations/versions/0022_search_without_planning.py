"""Finds a page of names without planning a statement for each search.

Planning took most of a search for a rare text. The plans of the statements here are kept with the connection.
Only for a frequent text, which is read from an ordered index, does Postgres plan for the values of each call.
"""

from __future__ import annotations

from alembic import op

revision = "0022"
down_revision = "0021"

# known_total: the total that the caller knows for known_change, a state of the names; -1 if it knows none. A
# trigger keeps the totals for one or two characters. alike: the names with the same letters and digits as the
# text; others: those of them that do not contain it. Up to 1,000 names that match are ranked here. Of more,
# each tier is read in the order of an index, and only as far as the page needs: the name itself and those
# alike, names that begin with the text, and the rest.
SEARCH = r"""
    CREATE OR REPLACE FUNCTION search_page(
        q text, only_tested boolean, page_limit bigint, page_offset bigint,
        known_change bigint, known_total bigint
    ) RETURNS TABLE (place bigint, name text, total bigint, change bigint)
    LANGUAGE plpgsql STABLE ROWS 20 SET work_mem = '32MB'
    SET plan_cache_mode = 'force_generic_plan' SET enable_seqscan = off AS $$
    DECLARE
        rare CONSTANT integer := 1000;
        tested text := CASE WHEN only_tested THEN 'AND scale_tested' ELSE '' END;
        pattern text := '%' || regexp_replace(q, '([\\%_])', '\\\1', 'g') || '%';
        letters text := translate(q, '-_ ', '');
        after text := q || chr(1114111);
        matching text[] COLLATE "C";
        alike text[] COLLATE "C" := '{}';
        others text[] COLLATE "C";
        page text[] COLLATE "C" := '{}';
        tier text[] COLLATE "C";
        skip bigint;
        is_known boolean := false;
    BEGIN
        SELECT COALESCE((SELECT t.change FROM search_totals t WHERE gram = ''), 0)
             + (SELECT count(*) FROM search_total_changes WHERE gram = '') INTO change;
        IF length(q) <= 2 THEN
            SELECT COALESCE((SELECT CASE WHEN only_tested THEN t.scale_tested ELSE t.packages END
                             FROM search_totals t WHERE gram = q), 0)
                 + COALESCE((SELECT sum(CASE WHEN only_tested THEN c.scale_tested ELSE c.packages END)
                             FROM search_total_changes c WHERE gram = q), 0) INTO total;
        ELSIF change = known_change AND known_total >= 0 THEN
            total := known_total;
            is_known := true;
        END IF;

        IF q <> '' THEN
            alike := ARRAY(
                SELECT s.name FROM search_names s
                WHERE letters <> '' AND translate(s.name, '-_', '') = letters
                  AND (scale_tested OR NOT only_tested));
            others := ARRAY(SELECT s FROM unnest(alike) AS s WHERE position(q IN s) = 0);
            IF length(q) <= 2 AND total <= rare THEN
                matching := ARRAY(
                    SELECT s.name FROM search_names s
                    WHERE short_grams(s.name) @> ARRAY[q] AND (scale_tested OR NOT only_tested));
            ELSIF total IS NULL THEN
                matching := ARRAY(
                    SELECT s.name FROM search_names s
                    WHERE s.name LIKE pattern AND (scale_tested OR NOT only_tested) LIMIT rare + 1);
                total := cardinality(matching);
                IF total > rare THEN
                    matching := NULL;
                    EXECUTE format('SELECT count(*) FROM search_names WHERE name LIKE $1 %s', tested)
                    INTO total USING pattern;
                END IF;
            END IF;
            IF NOT is_known THEN
                total := total + cardinality(others);
            END IF;
        END IF;

        IF page_limit = 0 OR page_offset >= total THEN
            NULL;
        ELSIF q = '' AND only_tested THEN
            page := ARRAY(SELECT s.name FROM search_names s WHERE scale_tested
                          ORDER BY s.name LIMIT page_limit OFFSET page_offset);
        ELSIF q = '' THEN
            page := ARRAY(SELECT s.name FROM search_names s
                          ORDER BY s.name LIMIT page_limit OFFSET page_offset);
        ELSIF matching IS NOT NULL THEN
            page := ARRAY(
                SELECT s FROM unnest(matching || others) AS s
                ORDER BY CASE WHEN s = q THEN 0 WHEN s = ANY (alike) THEN 1 WHEN starts_with(s, q) THEN 2
                         ELSE 3 END, octet_length(s), s
                LIMIT page_limit OFFSET page_offset);
        ELSE
            alike := ARRAY(
                SELECT s FROM unnest(alike || ARRAY(
                    SELECT s.name FROM search_names s
                    WHERE s.name = q AND s.name <> ALL (alike) AND (scale_tested OR NOT only_tested))) AS s
                ORDER BY s <> q, octet_length(s), s);
            page := alike[page_offset + 1 : page_offset + page_limit];
            skip := GREATEST(0, page_offset - cardinality(alike));
            EXECUTE format(
                $q$SELECT ARRAY(SELECT name FROM search_names
                                WHERE name >= $1 AND name < $2 AND name <> ALL ($3) %s
                                ORDER BY octet_length(name), name LIMIT $4 OFFSET $5)$q$, tested)
            INTO tier USING q, after, alike, page_limit - cardinality(page), skip;
            page := page || tier;
            IF tier <> '{}' OR skip = 0 THEN
                skip := 0;
            ELSE
                EXECUTE format(
                    $q$SELECT $4 - count(*) FROM search_names
                       WHERE name >= $1 AND name < $2 AND name <> ALL ($3) %s$q$, tested)
                INTO skip USING q, after, alike, skip;
            END IF;
            IF cardinality(page) < page_limit THEN
                EXECUTE format(
                    $q$SELECT ARRAY(SELECT name FROM search_names
                                    WHERE name LIKE $6 AND NOT (name >= $1 AND name < $2)
                                      AND name <> ALL ($3) %s
                                    ORDER BY octet_length(name), name LIMIT $4 OFFSET $5)$q$, tested)
                INTO tier USING q, after, alike, page_limit - cardinality(page), skip, pattern;
                page := page || tier;
            END IF;
        END IF;

        IF page = '{}' THEN
            place := NULL;
            RETURN NEXT;
        ELSE
            RETURN QUERY SELECT n, s, total, change
                         FROM unnest(page) WITH ORDINALITY AS listed (s, n);
        END IF;
    END
    $$
    """


def upgrade() -> None:
    """Expand only: the function has the parameters and the columns that older servers know."""
    op.execute(SEARCH)
