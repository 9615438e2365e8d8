"""One file a resource: parse, authorise, call one domain function, answer."""

from __future__ import annotations

from api.write.routes import account, packages, publish, service

ALL_ENDPOINTS = (*service.route.all, *account.route.all, *packages.route.all, *publish.route.all)
