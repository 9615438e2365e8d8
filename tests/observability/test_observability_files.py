"""The dashboard, the alerts and the runbook refer to existing metrics and to each other."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import promql_parser
import yaml

from shared.settings import Settings
from shared.variables import variables_of
from tests.observability.conftest import ROLES, Roles

ROOT = Path(__file__).parents[2]
OBSERVABILITY = ROOT / "deploy" / "observability"
METRIC = re.compile(r"\b(?:x07|process)_\w+")
LABEL = re.compile(r'\b(\w+)="([^"]*)"')


def alerts() -> list[dict[str, Any]]:
    """Every alerting rule."""
    groups = yaml.safe_load((OBSERVABILITY / "alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def expressions() -> list[str]:
    """Every expression of the alerts and the dashboard, in the form that Prometheus gets."""
    panels = json.loads((OBSERVABILITY / "dashboard.json").read_text())["panels"]
    shown = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    return [text.replace("$__rate_interval", "5m") for text in [*(one["expr"] for one in alerts()), *shown]]


async def names_of(roles: Roles) -> set[str]:
    """Every metric name that a role of the registry exports."""
    found: set[str] = set()
    for role in ROLES:
        for line in (await roles.metrics(role)).splitlines():
            word = line.split()[2] if line.startswith("# TYPE") else line.partition(" ")[0].partition("{")[0]
            found.add(word)
    return found


def test_every_expression_is_promql() -> None:
    """One invalid expression invalidates a whole file of rules."""
    for expression in expressions():
        promql_parser.parse(expression)


async def test_every_metric_in_dashboard_alerts_and_runbook_is_in_a_live_endpoint(roles: Roles) -> None:
    """A renamed metric would silence an alert forever."""
    live = await names_of(roles)
    runbook = (ROOT / "docs" / "runbook.md").read_text()
    manifests = "".join(path.read_text() for path in (ROOT / "deploy" / "kubernetes").rglob("*.*"))
    named = set(METRIC.findall("\n".join([*expressions(), runbook, manifests])))
    known = {name for base in live for name in (base, f"{base}_bucket", f"{base}_count", f"{base}_sum")}
    assert named - known == set()


async def test_every_label_that_an_expression_asks_for_is_in_a_live_endpoint(roles: Roles) -> None:
    """A renamed route or state would silence an alert like a renamed metric."""
    live = {pair for role in ROLES for pair in LABEL.findall(await roles.metrics(role))}
    assert set(LABEL.findall("\n".join(expressions()))) - live == set()


async def test_every_metric_of_ours_is_on_the_dashboard(roles: Roles) -> None:
    """A metric that nobody looks at is not needed."""
    live = {re.sub(r"_(bucket|count|sum|created)$", "", name) for name in await names_of(roles)}
    shown = {re.sub(r"_(bucket|count|sum)$", "", name) for name in METRIC.findall("\n".join(expressions()))}
    assert {name for name in live if name.startswith("x07_")} - shown == set()


def test_every_alert_has_a_section_in_the_runbook_and_no_section_is_left_over() -> None:
    """A person on call reads what the alert means and what to do."""
    text = (ROOT / "docs" / "runbook.md").read_text()
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    assert sorted(sections) == sorted(alert["alert"] for alert in alerts())
    for name, section in sections.items():
        assert "**Means**" in section, name
        assert "**Do**" in section, name


def test_every_setting_in_the_runbook_exists() -> None:
    """A wrong name would waste the time of a person on call."""
    known = {one for field, info in Settings.model_fields.items() for one in variables_of(field, info)}
    for path in (ROOT / "docs" / "runbook.md", OBSERVABILITY / "README.md", ROOT / "deploy/nginx/README.md"):
        assert set(re.findall(r"X07_REGISTRY_[A-Z0-9_]+", path.read_text())) <= known, path.name
