"""What every part may import: settings, errors, names, tables, storage, signing, telemetry. Nothing of ours is imported here."""
