"""One file a resource: parse, authorise, call one domain function, answer."""

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
    service,
    session,
    tokens,
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
    *owners.route.all,
    *yank.route.all,
    *advisories.route.all,
    *scale_evidence.route.all,
)
