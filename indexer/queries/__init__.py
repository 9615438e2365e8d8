"""The worker's SQL, one module per topic."""
