"""A registry whose database stands behind a real PgBouncer that pools transactions."""
