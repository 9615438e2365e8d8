"""A real S3 server for tests: SeaweedFS from its wheel, on free loopback ports."""

from __future__ import annotations

import ctypes
import os
import random
import signal
import socket
import subprocess
import sysconfig
import time
from functools import partial
from pathlib import Path
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

BUCKET = "x07-test"
ACCESS_KEY = "x07-test-key"
SECRET_KEY = "x07-test-secret"
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0
SERVICES = ("s3", "filer", "master", "volume", "admin")
GRPC_OFFSET = 10_000
# With the offset for gRPC, still below the ports that the kernel uses for outgoing connections.
PORTS = range(20_000, 22_700)
PR_SET_PDEATHSIG = 1


class SeaweedFs:
    """An S3 server over a directory, with one bucket. Its log is `weed.log` in that directory."""

    def __init__(self, directory: Path, keys: Path | None = None) -> None:
        """keys: a file of identities that includes our key; None: our key may do everything."""
        self._keys = keys
        self._directory = directory
        self._ports = dict(zip(SERVICES, _free_ports(len(SERVICES)), strict=True))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """URL of the S3 API."""
        return f"http://127.0.0.1:{self._ports['s3']}"

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
        """Start the server and wait until its bucket answers. Raises RuntimeError with its log."""
        keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
        log = self._directory / "weed.log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                self._command(),
                env={**os.environ, **keys},
                stdout=output,
                stderr=output,
                cwd=self._directory,
                start_new_session=True,
                preexec_fn=partial(ctypes.CDLL(None).prctl, PR_SET_PDEATHSIG, signal.SIGKILL),
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"SeaweedFS did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop the server with SIGTERM first, so that it removes its sockets."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _command(self) -> list[str]:
        return [
            str(Path(sysconfig.get_path("scripts")) / "weed"),
            "mini",
            f"-dir={self._directory}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            f"-bucket={BUCKET}",
            *(f"-{service}.port={port}" for service, port in self._ports.items()),
            *(f"-{service}.port.grpc={port + GRPC_OFFSET}" for service, port in self._ports.items()),
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-webdav=false",
            "-admin.ui=false",
            "-master.telemetry=false",
            *([] if self._keys is None else [f"-s3.config={self._keys}"]),
        ]

    def _answers(self) -> bool:
        """True once the bucket exists for the holder of the keys."""
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", self._ports["s3"])) != 0:
                return False
        client = botocore.session.get_session().create_client(
            "s3",
            region_name="us-east-1",
            endpoint_url=self.endpoint,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, read_timeout=5),
        )
        try:
            client.head_bucket(Bucket=BUCKET)
        except (ClientError, BotoCoreError):
            return False
        finally:
            client.close()
        return True


def _free_ports(count: int) -> list[int]:
    """Random ports that are free, together with their gRPC ports, so that sessions do not collide."""
    free: list[int] = []
    for port in random.Random(os.urandom(8)).sample(PORTS, len(PORTS)):
        if _is_free(port) and _is_free(port + GRPC_OFFSET):
            free.append(port)
        if len(free) == count:
            return free
    raise RuntimeError("no free ports for SeaweedFS")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
