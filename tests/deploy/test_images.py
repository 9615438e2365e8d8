"""Deployment files name each image by its digest, which operators have to fill in."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import yaml

from tests.deploy.image import CONTAINERFILE
from tests.deploy.test_deployment_files import DEPLOY, compose, of_kind
from tests.deployment_checks import images_to_fill_in

DEMANDED = re.compile(r"[^@]+@\$\{([A-Z]+_DIGEST):\?[^}]+\}")
OWN = "x07-registry"


def test_nothing_is_built_upon_an_image_without_its_digest() -> None:
    """Without the argument the image has no name, and the engine stops."""
    bases = re.findall(r"^FROM (\S+)", CONTAINERFILE, re.MULTILINE)
    assert len(bases) == 2
    assert {base.partition("@")[2] for base in bases} == {"${PYTHON_DIGEST}"}
    assert re.search(r"^ARG PYTHON_DIGEST$", CONTAINERFILE, re.MULTILINE)
    assert compose()["x-registry"]["build"]["args"]["PYTHON_DIGEST"].startswith("${PYTHON_DIGEST:?")


def test_compose_starts_no_image_without_its_digest() -> None:
    """An unset variable stops it."""
    images = {service["image"] for service in compose()["services"].values()} - {OWN}
    assert len(images) == 4
    assert [image for image in images if DEMANDED.fullmatch(image) is None] == []


def test_kubernetes_is_given_every_image_by_its_digest() -> None:
    """The placeholder in the kustomization is not a digest, so a cluster refuses it."""
    listed = yaml.safe_load((DEPLOY / "kubernetes" / "kustomization.yaml").read_text())["images"]
    pods = [one["spec"]["template"]["spec"] for one in of_kind("Deployment", "Job").values()]
    used = {container["image"].partition(":")[0] for pod in pods for container in pod["containers"]}
    assert used == {one["name"] for one in listed}
    assert all("digest" in one and "newTag" not in one for one in listed)


def test_a_check_tells_which_digests_are_to_be_filled_in(tmp_path: Path) -> None:
    """A digest is sixty-four hexadecimal digits, and not the placeholder."""
    shipped = DEPLOY / "kubernetes" / "kustomization.yaml"
    assert images_to_fill_in(shipped) == ["x07-registry", "nginxinc/nginx-unprivileged"]
    filled = tmp_path / "kustomization.yaml"
    filled.write_text(shipped.read_text().replace("FILL-IN", "0" * 64, 1))
    assert images_to_fill_in(filled) == ["nginxinc/nginx-unprivileged"]


def test_one_command_prints_every_digest_that_is_asked_for(tmp_path: Path) -> None:
    """The test's engine knows one image for each name."""
    engine = tmp_path / "engine"
    engine.write_text('#!/bin/sh\n[ "$1" = pull ] || echo "registry/name@sha256:of-$5"\n')
    engine.chmod(0o755)
    command = [DEPLOY / "container" / "digests.sh"]
    environment = {"PATH": os.environ["PATH"], "ENGINE": str(engine)}
    told = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    texts = CONTAINERFILE + (DEPLOY / "container" / "compose.yaml").read_text()
    asked = {variable: image for image, variable in re.findall(r" (\S+)@\$\{([A-Z]+_DIGEST)", texts)}
    assert sorted(told.splitlines()) == sorted(f"{name}=sha256:of-{image}" for name, image in asked.items())
    assert set(asked) == set(re.findall(r"\b[A-Z]+_DIGEST\b", texts))
