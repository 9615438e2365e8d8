"""Alembic migrations of the database. runner.py applies them and adopts databases of the older server."""
