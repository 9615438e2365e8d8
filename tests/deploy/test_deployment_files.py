"""Checks of the deployment files that no tool makes: our names, ports, secrets and limits."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from deploy.app_kind import AppKind
from deploy.serve import GRACE_S
from shared.settings import Settings
from shared.variables import variables_of
from tests.edge.nginx import SHIPPED

DEPLOY = Path(__file__).parents[2] / "deploy"
TIERS = ("read", "write", "worker")
SECRET = re.compile(r"SECRET|PASSWORD|DATABASE_URL|ACCESS_KEY")


def manifests() -> list[dict[str, Any]]:
    """All Kubernetes objects in the repository."""
    texts = [path.read_text() for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))]
    return [one for text in texts for one in yaml.safe_load_all(text)]


def of_kind(*kinds: str) -> dict[str, dict[str, Any]]:
    """Objects of some kinds by name, without the common prefix."""
    found = [one for one in manifests() if one["kind"] in kinds]
    return {one["metadata"]["name"].removeprefix("x07-registry-"): one for one in found}


def compose() -> dict[str, Any]:
    """The compose file."""
    parsed: dict[str, Any] = yaml.safe_load((DEPLOY / "container" / "compose.yaml").read_text())
    return parsed


def shipped_texts() -> Iterator[tuple[str, str]]:
    """Name and text of each file that sets variables."""
    for folder in ("container", "kubernetes", "systemd"):
        for path in sorted(one for one in (DEPLOY / folder).rglob("*") if one.is_file()):
            yield str(path.relative_to(DEPLOY)), path.read_text()


@pytest.mark.parametrize("name", sorted(dict(shipped_texts())))
def test_every_variable_in_a_shipped_file_is_a_setting(name: str) -> None:
    """A misspelt variable would be ignored silently, in production."""
    known = {one for field, info in Settings.model_fields.items() for one in variables_of(field, info)}
    assert set(re.findall(r"X07_REGISTRY_[A-Z0-9_]+", dict(shipped_texts())[name])) <= known


def test_pods_run_without_root_on_a_root_they_cannot_write() -> None:
    """This applies to all pods, including the edge."""
    for name, one in of_kind("Deployment", "Job").items():
        pod = one["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["automountServiceAccountToken"] is False, name
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True, name
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["capabilities"]["drop"] == ["ALL"], name
            assert "memory" in container["resources"]["limits"], name


@pytest.mark.parametrize("tier", TIERS)
def test_each_tier_scales_and_is_disrupted_by_itself(tier: str) -> None:
    """Each has a deployment, an autoscaler that names it, a budget and probes."""
    deployment, scaler = of_kind("Deployment")[tier], of_kind("HorizontalPodAutoscaler")[tier]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert of_kind("PodDisruptionBudget")[tier]["spec"]["selector"]["matchLabels"] == labels
    assert scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "metrics"}


def test_a_pod_joins_with_its_dependencies_and_stays_without_them() -> None:
    """If storage is down for all, readers still serve from memory, and writers answer 503."""
    for tier in ("read", "write"):
        container = of_kind("Deployment")[tier]["spec"]["template"]["spec"]["containers"][0]
        assert container["startupProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}
        assert container["readinessProbe"]["httpGet"] == {"path": "/healthz", "port": "metrics"}


def test_each_tier_has_a_signal_of_its_own() -> None:
    """A reader's load says nothing about the workers."""
    scalers = of_kind("HorizontalPodAutoscaler")
    signals = [json.dumps(scalers[tier]["spec"]["metrics"]) for tier in TIERS]
    assert len(set(signals)) == len(TIERS)


@pytest.mark.parametrize("tier", [AppKind.WRITE, AppKind.READ])
def test_a_server_is_given_the_time_that_it_takes_to_end(tier: AppKind) -> None:
    """A server killed earlier would break off uploads that it promised to finish."""
    pod = of_kind("Deployment")[tier.value]["spec"]["template"]["spec"]
    leaving_s = 5  # until it has left all lists of endpoints
    assert f"time.sleep({leaving_s})" in str(pod["containers"][0]["lifecycle"]["preStop"])
    assert pod["terminationGracePeriodSeconds"] > leaving_s + GRACE_S[tier]
    service = compose()["services"][tier.value]
    assert int(service.get("stop_grace_period", "10s").removesuffix("s")) > GRACE_S[tier]
    unit = Path(f"deploy/systemd/x07-registry-{tier.value}.service").read_text()
    assert int(unit.partition("TimeoutStopSec=")[2].split()[0]) > GRACE_S[tier]


def test_secrets_are_named_and_never_written() -> None:
    """Kubernetes reads them by reference, compose from the environment."""
    for one in manifests():
        assert one["kind"] != "Secret"
        if one["kind"] == "ConfigMap":
            assert not [key for key in one["data"] if SECRET.search(key)]
    for name, service in compose()["services"].items():
        for key, value in service.get("environment", {}).items():
            if SECRET.search(key):
                assert re.search(r"\$\{[A-Z0-9_]+:(\?|-\})", value), (name, key)


def test_readers_are_given_no_way_to_the_database() -> None:
    """They get neither its address nor a network path."""
    pod = of_kind("Deployment")["read"]["spec"]["template"]["spec"]
    assert not any("DATABASE" in one["name"] for one in pod["containers"][0]["env"])
    ports = of_kind("NetworkPolicy")["read-out"]["spec"]["egress"][0]["ports"]
    assert 5432 not in [port["port"] for port in ports]
    assert not any("DATABASE" in key for key in compose()["services"]["read"]["environment"])


def test_the_edge_finds_the_tiers_where_they_listen() -> None:
    """Each tier uses one port in every kind of deployment."""
    texts = {
        "nginx": (SHIPPED / "upstreams.conf").read_text(),
        "edge.yaml": (DEPLOY / "kubernetes" / "edge.yaml").read_text(),
    }
    for name, text in texts.items():
        assert set(re.findall(r"server \S*(read:\d+|write:\d+)", text)) == {"read:8080", "write:8081"}, name
    services = compose()["services"]
    for tier, port in (("read", 8080), ("write", 8081)):
        assert services[tier]["command"][-1] == f"0.0.0.0:{port}"
        container = of_kind("Deployment")[tier]["spec"]["template"]["spec"]["containers"][0]
        assert container["args"][-1] == f"0.0.0.0:{port}"
        assert of_kind("Service")[tier]["spec"]["ports"][0]["port"] == port
        assert f":{port}" in (DEPLOY / "systemd" / f"x07-registry-{tier}.service").read_text()


def test_the_edge_in_kubernetes_has_every_file_of_nginx() -> None:
    """The ConfigMap has the files of deploy/nginx, except those that operators write."""
    pod = of_kind("Deployment")["edge"]["spec"]["template"]["spec"]
    (volume,) = [one for one in pod["volumes"] if one["name"] == "configuration"]
    (shipped,) = [one["configMap"] for one in volume["projected"]["sources"] if "items" in one["configMap"]]
    own = of_kind("ConfigMap")["edge-local"]["data"]
    assert {item["key"] for item in shipped["items"]} == {path.name for path in SHIPPED.glob("*.conf")} - set(
        own
    )


def test_the_kustomization_names_every_manifest() -> None:
    """A file that it does not name is not applied."""
    folder = DEPLOY / "kubernetes"
    named = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    assert sorted(named) == sorted(p.name for p in folder.glob("*.yaml") if p.stem != "kustomization")


def test_every_metric_by_which_a_tier_scales_has_a_rule_of_the_adapter() -> None:
    """Without one the autoscaler knows no number, and leaves the tier as it is."""
    values = yaml.safe_load((DEPLOY / "kubernetes" / "prometheus" / "adapter-values.yaml").read_text())
    for kind, source in (("custom", "pods"), ("external", "external")):
        rules = {rule["name"]["matches"]: rule for rule in values["rules"][kind]}
        scaled = [one["spec"]["metrics"][0] for one in of_kind("HorizontalPodAutoscaler").values()]
        assert {metric[source]["metric"]["name"] for metric in scaled if source in metric} == set(rules)
        for name, rule in rules.items():
            query = rule["metricsQuery"].replace("<<.Series>>", name).replace("<<.LabelMatchers>>", 'a="b"')
            promql_parser.parse(query.replace("<<.GroupBy>>", "pod"))
            promql_parser.parse(rule["seriesQuery"])


def test_the_service_monitor_finds_the_metrics_of_every_tier() -> None:
    """It selects one service, which lists every pod with a port for metrics; the edge has none."""
    folder = DEPLOY / "kubernetes" / "prometheus"
    monitor, service = (
        yaml.safe_load((folder / f"{name}.yaml").read_text()) for name in ("monitor", "service")
    )
    assert monitor["kind"] == "ServiceMonitor"
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    services = [service, *of_kind("Service").values()]
    assert [one for one in services if wanted <= one["metadata"]["labels"].items()] == [service]
    (port,) = service["spec"]["ports"]
    assert [endpoint["port"] for endpoint in monitor["spec"]["endpoints"]] == [port["name"]]
    listed = []
    for name, one in of_kind("Deployment", "Job").items():
        pod = one["spec"]["template"]
        assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
        ports = [each for container in pod["spec"]["containers"] for each in container.get("ports", ())]
        listed += [(name, each["containerPort"]) for each in ports if each["name"] == port["targetPort"]]
    assert sorted(listed) == sorted((tier, port["port"]) for tier in TIERS)
    (allowed,) = of_kind("NetworkPolicy")["metrics"]["spec"]["ingress"]
    assert allowed["ports"] == [{"port": port["port"]}]


def test_compose_asks_for_the_health_of_each_role() -> None:
    """The edge waits for it, and podman builds images that have no health check of their own."""
    container = (DEPLOY / "container" / "Containerfile").read_text()
    command = json.loads(re.findall(r"^    CMD (.+)$", container, re.MULTILINE)[0])
    for role in TIERS:
        assert compose()["services"][role]["healthcheck"]["test"] == ["CMD", *command]
    waited = compose()["services"]["edge"]["depends_on"]
    assert {one["condition"] for one in waited.values()} == {"service_healthy"}
