"""One numbered file per migration. Expand first; contract in a later release."""
