"""A whole cluster from the shipped files: `make cluster-test`. It takes a minute, so `make test` omits it."""
