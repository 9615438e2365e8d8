"""Object storage: one interface, two back ends (file system, S3)."""
