"""SeaweedFS on this machine, with the latency proxy in front of it, for as long as a benchmark runs."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions

BUCKET = "tiervdb-bench"
KEY, SECRET = "bench-key", "bench-secret"
_READY_SECONDS = 60


@dataclass(frozen=True)
class Server:
    """``direct``: the server's own URL. ``delayed``: through the proxy."""

    direct: str
    delayed: str

    def options(self, delayed: bool) -> dict[str, object]:
        """Storage options in s3fs names."""
        return {"key": KEY, "secret": SECRET, "endpoint_url": self.delayed if delayed else self.direct}

    def reset(self) -> None:
        """Forgets what the proxy counted."""
        self._ask("__reset")

    def delay(self, milliseconds: float) -> None:
        """Changes the delay of each request."""
        self._ask(f"__delay?ms={milliseconds}")

    def counted(self) -> dict[str, Any]:
        """Requests, bytes and waves since the last reset."""
        found: dict[str, Any] = json.loads(self._ask("__stats"))
        return found

    def _ask(self, path: str) -> bytes:
        with urllib.request.urlopen(f"{self.delayed}/{path}") as answer:
            data: bytes = answer.read()
            return data


@contextmanager
def running(folder: Path, delay_ms: float) -> Iterator[Server]:
    """Server and proxy; both end with the block. Data lies in ``folder``, which stays."""
    s3, *ports = _free_ports(9)
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        stack.enter_context(_process(_seaweedfs(folder, s3, ports[:7]), folder / "server.log"))
        direct, proxy = f"http://127.0.0.1:{s3}", ports[7]
        _wait_for_bucket(direct)
        command = [sys.executable, "-m", "benchmarks.latency_proxy", f"--port={proxy}", f"--target={direct}"]
        stack.enter_context(_process([*command, f"--delay-ms={delay_ms}"], folder / "proxy.log"))
        server = Server(direct, f"http://127.0.0.1:{proxy}")
        _wait_for(server.reset)
        yield server


def _seaweedfs(folder: Path, s3: int, ports: list[int]) -> list[str]:
    data = folder / "data"
    data.mkdir(exist_ok=True)
    actions = ["Admin", "Read", "List", "Tagging", "Write"]
    credentials = [{"accessKey": KEY, "secretKey": SECRET}]
    config = folder / "s3.json"
    config.write_text(json.dumps({"identities": [{"name": "bench", "credentials": credentials, "actions": actions}]}))
    binary = shutil.which("weed", path=str(Path(sys.executable).parent)) or "weed"
    names = ("master", "volume", "filer")
    listen = [f"-{name}.port={port}" for name, port in zip(names, ports, strict=False)]
    listen += [f"-{name}.port.grpc={port}" for name, port in zip((*names, "s3"), ports[3:], strict=True)]
    return [
        binary, "server", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3", *listen,
        f"-s3.port={s3}",
        f"-s3.config={config}", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.autoCreateBucket=false",
        "-master.volumeSizeLimitMB=1024", "-volume.max=50", "-volume.preStopSeconds=0",
    ]  # fmt: skip


@contextmanager
def _process(command: list[str], log: Path) -> Iterator[None]:
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)


def _wait_for_bucket(url: str) -> None:
    client = boto3.client(
        "s3", aws_access_key_id=KEY, aws_secret_access_key=SECRET, endpoint_url=url, region_name="us-east-1"
    )

    def ready() -> None:
        if BUCKET not in {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}:
            client.create_bucket(Bucket=BUCKET)
        client.put_object(Bucket=BUCKET, Key="probe", Body=b"ready")

    _wait_for(ready)


def _wait_for(attempt: Any) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while True:
        try:
            attempt()
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
