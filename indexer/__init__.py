"""Rendering (rows to bytes) and publication (bytes to storage)."""
