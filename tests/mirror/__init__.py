"""Mirrors made over HTTP, by real commands from real servers."""
