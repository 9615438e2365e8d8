"""Object storage: one interface with two back ends, a file system and S3."""
