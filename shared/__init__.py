"""Modules that every part may import. They import no other part."""
