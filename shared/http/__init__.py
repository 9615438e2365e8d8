"""HTTP code that both services share, such as request ids, errors, CORS and conditional requests."""
