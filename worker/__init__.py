"""The worker process: it answers wake-ups and keeps the schedule; indexer does the work."""
