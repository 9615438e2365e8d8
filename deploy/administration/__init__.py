"""Administration commands. They use the same rows and rules as the write API."""
