"""A mirror that follows a registry over HTTP and trusts only its transparency log (docs/mirror.md)."""
