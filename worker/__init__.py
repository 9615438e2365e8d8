"""The worker: wake-ups, schedule and settings. Thin: the work is in indexer."""
