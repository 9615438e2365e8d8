"""What operators see of a running registry."""
