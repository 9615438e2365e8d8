"""Upkeep of the published tree: verify, repair, rebuild, reindex, export, scrub, heal and collect garbage."""
