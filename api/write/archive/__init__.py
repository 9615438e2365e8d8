"""Checks of uploaded archives. Imports only `shared`, which reads them: archive/ and manifest.py there."""
