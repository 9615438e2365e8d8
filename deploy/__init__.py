"""How the parts are put together and run: command line, local stack, container, cluster, edge."""
