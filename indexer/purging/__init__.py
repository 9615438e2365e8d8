"""Asks edges to drop their copies of files that changed."""
