"""Checks of uploaded archives. Imports only `shared`, which also has the rules of manifests (manifest.py)."""
