"""The shipped nginx configuration, run by a real nginx before real tiers."""
