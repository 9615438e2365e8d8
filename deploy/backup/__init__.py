"""Copies the database into one file, and back, with Postgres' own programs."""
