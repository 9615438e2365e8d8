"""Renders rows to bytes, and publishes the bytes to storage."""
