"""Renders the HTML pages of the registry from rows, ahead of time, and publishes them."""
