"""One file a migration, numbered. Expand first; contract in a later release."""
