"""A whole registry on one machine: embedded Postgres and Valkey, and the processes between them."""
