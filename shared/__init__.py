"""What every part may import; nothing of ours is imported here."""
