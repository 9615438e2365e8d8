"""Trusted publishing: builds of continuous integration publish without a stored secret.

api/write/identity_tokens.py checks a build's identity token (OpenID Connect), builds.py reads the build from
it, publishers.py stores the builds that may publish a package, and exchange.py creates the short-lived token.
"""
