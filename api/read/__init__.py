"""The read service: static blobs from object storage, cached; knows no database."""
