"""Puts the parts together and runs them: command line, local stack, container, cluster, edge."""
