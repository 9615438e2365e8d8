"""A whole cluster from the shipped files: `make cluster-test`. Not part of `make test`: it takes a minute."""
