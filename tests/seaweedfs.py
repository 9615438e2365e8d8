"""A real S3 server for tests: SeaweedFS from its wheel, on free loopback ports, gone with the session."""

from __future__ import annotations

import os
import socket
import subprocess
import sysconfig
import time
from pathlib import Path
from typing import Any

BUCKET = "x07-test"
ACCESS_KEY = "x07-test-key"
SECRET_KEY = "x07-test-secret"
START_TIMEOUT_S = 60.0
READY = "All enabled components are running"
PORT_OPTIONS = (
    "s3.port",
    "s3.port.grpc",
    "s3.port.iceberg",
    "s3.port.lance",
    "filer.port",
    "filer.port.grpc",
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "admin.port",
    "admin.port.grpc",
)


class SeaweedFs:
    """An S3 server over a directory, with one bucket."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._ports = _free_ports(len(PORT_OPTIONS))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """URL of the S3 API."""
        return f"http://127.0.0.1:{self._ports[0]}"

    @property
    def settings(self) -> dict[str, Any]:
        """Fields of Settings that name the bucket."""
        return {
            "s3_bucket": BUCKET,
            "s3_region": "us-east-1",
            "s3_endpoint": self.endpoint,
            "s3_access_key_id": ACCESS_KEY,
            "s3_secret_access_key": SECRET_KEY,
            "s3_force_path_style": True,
        }

    def start(self) -> None:
        """Start the server and wait until its bucket is there. Raises RuntimeError with its log."""
        ports = [f"-{name}={port}" for name, port in zip(PORT_OPTIONS, self._ports, strict=True)]
        command = [
            str(Path(sysconfig.get_path("scripts")) / "weed"),
            "mini",
            f"-dir={self._directory}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            f"-bucket={BUCKET}",
            "-webdav=false",
            "-admin.ui=false",
            "-master.telemetry=false",
            f"-filer.localSocket={self._directory}/filer.sock",
            *ports,
        ]
        keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
        log = self._directory / "weed.log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command, env={**os.environ, **keys}, stdout=output, stderr=output, cwd=self._directory
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while READY not in log.read_text():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"SeaweedFS did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop the server; nothing in it is wanted any more."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def _free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, each different."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports
