"""A whole registry on one machine: embedded Postgres, embedded Valkey, and the registry's own processes."""
