"""Checks the files in deploy/ with their own tools: `make check-all`. Missing tools are reported clearly.

hadolint and the schemas of Kubernetes come from the lock file; nginx, systemd and kubectl from the machine.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.edge.nginx import find_nginx, write_configuration

DEPLOY = Path(__file__).parent.parent / "deploy"
PROGRAM = "/opt/x07-registry/bin/x07-registry"
NAME = "x07-registry"
BIN = Path(sys.executable).parent


class ToolMissing(Exception):
    """A tool is missing on this machine. The message names it."""


class ToFillIn(Exception):
    """The files have placeholders. The message names the values that the operator fills in."""


def check_containerfile() -> None:
    """hadolint."""
    _run(BIN / "hadolint", DEPLOY / "container" / "Containerfile")


def check_manifests() -> None:
    """kubernetes-validate, strict: a misspelt field is refused."""
    folder = DEPLOY / "kubernetes"
    manifests = [path for path in folder.glob("*.yaml") if path.stem != "kustomization"]
    manifests += [folder / "ingress" / "ingress.yaml", folder / "prometheus" / "service.yaml"]
    _run(BIN / "kubernetes-validate", "--strict", "--quiet", *sorted(manifests))


def check_kustomization() -> None:
    """kubectl kustomize, with every component; what stands in config.yaml reaches the others."""
    kubectl = _tool("kubectl")
    with tempfile.TemporaryDirectory() as directory:
        copied = Path(shutil.copytree(DEPLOY / "kubernetes", Path(directory) / "kubernetes"))
        for component in ("ingress", "prometheus"):
            change(copied / "kustomization.yaml", f"# - {component}", f"- {component}")
        change(copied / "config.yaml", "https://s3.example.org:8333", "https://s3.example.org:9000")
        change(copied / "config.yaml", "https://registry.example.org", "https://packages.example.org")
        applied = _run(kubectl, "kustomize", copied)
    found = {(one["kind"], one["metadata"]["name"]): one["spec"] for one in applied_specs(applied)}
    ports = found["NetworkPolicy", "x07-registry-read-out"]["egress"][0]["ports"]
    hosts = [rule["host"] for rule in found["Ingress", "x07-registry"]["rules"]]
    scraped = {("ServiceMonitor", NAME), ("Service", f"{NAME}-metrics")} <= set(found)
    if {"port": 9000} not in ports or hosts != ["packages.example.org"] or not scraped:
        raise SystemExit("kubectl kustomize: a value of config.yaml, or a component, is missing")


def change(path: Path, old: str, new: str) -> None:
    """Replace a text that the file has once."""
    before, found, after = path.read_text().partition(old)
    if not found or old in after:
        raise SystemExit(f"{path.name}: {old!r} does not stand there once")
    path.write_text(f"{before}{new}{after}")


def applied_specs(text: str) -> Iterator[dict[str, Any]]:
    """The objects that have a specification."""
    return (one for one in yaml.safe_load_all(text) if "spec" in one)


def check_units() -> None:
    """systemd-analyze verify, with a stand-in for our program."""
    with tempfile.TemporaryDirectory() as directory:
        for path in (DEPLOY / "systemd").iterdir():
            if path.suffix in (".service", ".target"):
                (Path(directory) / path.name).write_text(path.read_text().replace(PROGRAM, "/bin/true"))
        units = [f"{directory}/{name}" for name in ("x07-registry.target", "x07-registry-worker@0.service")]
        _run(_tool("systemd-analyze"), "verify", "--man=no", *units)


def check_edge() -> None:
    """nginx -t."""
    nginx = find_nginx()
    if nginx is None:
        raise ToolMissing("nginx")
    with tempfile.TemporaryDirectory() as directory:
        main = write_configuration(Path(directory) / "conf", 18080, ["127.0.0.1:1"], ["127.0.0.1:2"])
        _run(nginx, "-t", "-q", "-p", f"{directory}/", "-c", main)


def check_digests() -> None:
    """digests."""
    if images := images_to_fill_in(DEPLOY / "kubernetes" / "kustomization.yaml"):
        raise ToFillIn(", ".join(images))


def images_to_fill_in(kustomization: Path) -> list[str]:
    """The images that a kustomization does not name by digest."""
    images = yaml.safe_load(kustomization.read_text())["images"]
    digest = re.compile("sha256:[0-9a-f]{64}")
    return [one["name"] for one in images if digest.fullmatch(one.get("digest", "")) is None]


CHECKS: tuple[Callable[[], None], ...] = (
    check_containerfile,
    check_manifests,
    check_kustomization,
    check_units,
    check_edge,
    check_digests,
)


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise ToolMissing(name)
    return found


def _run(*command: str | Path) -> str:
    """The output of a tool. Raises SystemExit if it reports anything, because some exit with 0."""
    result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    said = (result.stdout if result.returncode else "") + result.stderr
    if result.returncode or "warn" in said.lower():
        raise SystemExit(f"{' '.join(map(str, command))}\n{said}")
    return result.stdout


def outcomes() -> Iterator[str]:
    """One line per check. Raises SystemExit if one fails."""
    for check in CHECKS:
        what = (check.__doc__ or "").split(",")[0].rstrip(".")
        try:
            check()
        except ToolMissing as missing:
            yield f"deploy/: NOT CHECKED by {what}: {missing} is not installed"
        except ToFillIn as images:
            yield f"deploy/: TO BE FILLED IN before it is applied: {what} of {images}"
        else:
            yield f"deploy/: checked by {what}"


if __name__ == "__main__":
    for line in outcomes():
        print(line)
