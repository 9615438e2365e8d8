"""The arq worker: tasks, schedule and settings. Thin: the work is in indexer."""
