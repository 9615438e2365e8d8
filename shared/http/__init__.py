"""Pieces of HTTP that both services share: request ids, error bodies, CORS, conditional requests."""
