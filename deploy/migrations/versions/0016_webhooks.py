"""Webhooks: who hears of changes, and the outbox of what they hear (docs/decisions/0047).

A trigger on audit_events writes the outbox, so it is in the transaction of every change, whichever statement
makes the change. It runs at the commit, when the package's generation is final, and does nothing while there
are no webhooks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from alembic import op

revision = "0016"
down_revision = "0015"

EVENTS = {
    "publish": "version.published",
    "yank": "version.yanked",
    "unyank": "version.restored",
    "version_removed": "version.removed",
    "advisory_created": "advisory.created",
    "advisory_withdrawn": "advisory.withdrawn",
    "owner_added": "owner.added",
    "owner_removed": "owner.removed",
}
# What of an audit event's details is told. The reason of a removal, for example, is not.
TOLD = ("handle", "advisory_id", "kind", "severity", "summary")

STATEMENTS = (
    """
    CREATE TABLE webhooks (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        url text NOT NULL,
        events text[] NOT NULL,
        package text,
        of_all boolean NOT NULL DEFAULT false,
        secret text NOT NULL,
        previous_secret text,
        previous_until timestamptz,
        is_active boolean NOT NULL DEFAULT true,
        failing_since timestamptz,
        failure text,
        created_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX webhooks_user_id_idx ON webhooks (user_id)",
    "CREATE INDEX webhooks_of_all_idx ON webhooks (id) WHERE of_all",
    """
    CREATE TABLE webhook_events (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        message_id uuid NOT NULL DEFAULT gen_random_uuid(),
        package_id uuid,
        generation bigint,
        type text NOT NULL,
        data jsonb NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX webhook_events_created_at_idx ON webhook_events (created_at)",
    """
    CREATE TABLE webhook_deliveries (
        event_id bigint NOT NULL REFERENCES webhook_events (id) ON DELETE CASCADE,
        hook_id uuid NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
        package_id uuid,
        attempts integer NOT NULL DEFAULT 0,
        due_at timestamptz NOT NULL DEFAULT now(),
        first_tried_at timestamptz,
        tried_at timestamptz,
        done_at timestamptz,
        status integer,
        error text,
        PRIMARY KEY (hook_id, event_id)
    )
    """,
    "CREATE INDEX webhook_deliveries_event_id_idx ON webhook_deliveries (event_id)",
    # The outbox: what is not delivered yet, of each webhook in the order of each package.
    """
    CREATE INDEX webhook_deliveries_waiting_idx ON webhook_deliveries (hook_id, package_id, event_id)
        WHERE done_at IS NULL
    """,
    """
    CREATE INDEX webhook_deliveries_of_package_idx ON webhook_deliveries (package_id) WHERE done_at IS NULL
    """,
)

# SECURITY DEFINER: the role of an older server need not have rights on the new tables.
NOTE_EVENT = """
    CREATE FUNCTION note_webhook_event() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    DECLARE
        of_package text := NEW.package_name;
    BEGIN
        IF NOT EXISTS (SELECT FROM webhooks) THEN
            RETURN NULL;
        END IF;
        -- A call that changed nothing, such as a second yank, did not raise the generation: then this
        -- transaction did not write the package's row of index_state, and there is no event.
        WITH change AS MATERIALIZED (
            SELECT p.id AS package_id, s.generation, CAST('{events}' AS jsonb) ->> NEW.action AS type
            FROM packages p JOIN index_state s ON s.package_id = p.id
            WHERE p.name = of_package AND s.xmin = CAST(pg_current_xact_id() AS xid)
        ), near AS (
            SELECT id, package, events FROM webhooks WHERE of_all AND is_active
            UNION ALL
            SELECT h.id, h.package, h.events
            FROM change JOIN package_owners USING (package_id) JOIN webhooks h USING (user_id)
            WHERE h.is_active AND NOT h.of_all
        ), heard AS MATERIALIZED (
            SELECT near.id AS hook_id, change.package_id
            FROM change JOIN near ON change.type = ANY(near.events)
            WHERE COALESCE(near.package, of_package) = of_package
        ), event AS (
            INSERT INTO webhook_events (package_id, generation, type, data)
            SELECT package_id, generation, type,
                   jsonb_strip_nulls(jsonb_build_object('package', of_package,
                                                        'version', NEW.package_version))
                   || COALESCE((SELECT jsonb_object_agg(key, value) FROM jsonb_each(NEW.details)
                                WHERE key = ANY('{told}')), '{{}}')
            FROM change WHERE EXISTS (SELECT FROM heard)
            RETURNING id
        )
        INSERT INTO webhook_deliveries (event_id, hook_id, package_id)
        SELECT event.id, heard.hook_id, heard.package_id FROM event CROSS JOIN heard;
        RETURN NULL;
    END
    $$
    """

ON_COMMIT = """
    CREATE CONSTRAINT TRIGGER webhook_event AFTER INSERT ON audit_events DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.action = ANY('{actions}')) EXECUTE FUNCTION note_webhook_event()
    """


def upgrade() -> None:
    """Expand only: new tables, and a trigger that works for the changes of older servers, too."""
    for statement in STATEMENTS:
        op.execute(statement)
    op.execute(NOTE_EVENT.format(events=json.dumps(EVENTS), told=_array(TOLD)))
    op.execute(ON_COMMIT.format(actions=_array(EVENTS)))


def _array(words: Iterable[str]) -> str:
    """The words as a text array of Postgres."""
    return "{" + ",".join(words) + "}"
