"""Logs, metrics and traces of a running registry, as operators see them."""
