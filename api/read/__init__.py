"""The read service: serves static blobs from object storage through a cache. It uses no database."""
