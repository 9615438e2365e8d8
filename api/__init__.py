"""The two HTTP services. api.write and api.read never import each other."""
