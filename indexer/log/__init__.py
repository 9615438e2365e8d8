"""The transparency log: an append-only Merkle tree of every index line that readers see (docs/log.md)."""
