"""Reads tar archives that nobody trusts. Imports only `shared`."""
