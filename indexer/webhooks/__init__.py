"""Sends events to webhooks: what is written, to which addresses, and what happens when it does not arrive."""
