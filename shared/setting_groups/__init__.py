"""The settings by topic; shared/settings.py puts them together."""
