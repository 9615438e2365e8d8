#!/bin/sh
# Pulls the images that compose.yaml and the Containerfile name, and prints their digests as variables. Keep what
# it prints: another digest is another image. ENGINE: podman or docker.
set -eu
cd "$(dirname "$0")"
sed -n 's/.*[ ]\([^ ]*\)@${\([A-Z]*_DIGEST\).*/\2 \1/p' compose.yaml Containerfile | sort -u |
while read -r variable image; do
    "${ENGINE:-podman}" pull --quiet "$image" >/dev/null
    found=$("${ENGINE:-podman}" image inspect --format '{{index .RepoDigests 0}}' "$image")
    echo "$variable=${found#*@}"
done
