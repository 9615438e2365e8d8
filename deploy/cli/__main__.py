"""`python -m deploy.cli` is `x07-registry`."""

from deploy.cli.app import main

main()
