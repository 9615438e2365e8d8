"""openapi.json, the contract of the HTTP API: made by `make openapi` from the declared routes."""
