"""Routes, one module per resource. A handler parses, authorises, calls one domain function and answers."""

from __future__ import annotations

from api.write.routes import (
    account,
    advisories,
    archetypes,
    dependents,
    github,
    owners,
    packages,
    publish,
    scale_evidence,
    search,
    secret_scanning,
    service,
    session,
    tokens,
    trusted_publishers,
    trusted_publishing,
    webhooks,
    yank,
)

ALL_ENDPOINTS = (
    *service.route.all,
    *account.route.all,
    *packages.route.all,
    *dependents.route.all,
    *publish.route.all,
    *search.route.all,
    *archetypes.route.all,
    *github.route.all,
    *session.route.all,
    *tokens.route.all,
    *trusted_publishers.route.all,
    *trusted_publishing.route.all,
    *secret_scanning.route.all,
    *webhooks.route.all,
    *owners.route.all,
    *yank.route.all,
    *advisories.route.all,
    *scale_evidence.route.all,
)
