"""Alembic migrations of the database; runner.py applies them and adopts deployed databases."""
