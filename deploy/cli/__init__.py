"""The x07-registry command line."""
