"""What the stack consists of: services, their commands and environment, and the configuration that all of them read.

The same functions say it for processes (``Place`` made by stack_processes.py) and for containers (``CONTAINERS``);
a test compares the latter with compose.yaml.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "configs" / "minio-stack.toml"
KEYS = {  # for a stack that only this machine reaches; set them to others for anything else
    "TIERVDB_STORE_KEY": "tiervdb-store",
    "TIERVDB_STORE_SECRET": "tiervdb-store-secret",
    "TIERVDB_OFFSITE_KEY": "tiervdb-offsite",
    "TIERVDB_OFFSITE_SECRET": "tiervdb-offsite-secret",
}


@dataclass(frozen=True)
class Server:
    """An S3 server. ``listen``: the address it takes; ``reach``: the one others use; ``key``: its KEYS, in part."""

    name: str
    key: str
    listen: str
    console: str
    reach: str
    data: str


@dataclass(frozen=True)
class Place:
    """Where everything is, as the services see it. ``home``: of the databases; ``scripts``: the folder docker/."""

    store: Server
    offsite: Server
    agent: str
    home: str
    config: str
    scripts: str
    python: str = "python"
    tiervdb: tuple[str, ...] = ("tiervdb",)


@dataclass(frozen=True)
class Service:
    """``after``: what has to be there first. ``ends``: does its work and ends."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    ends: bool = False


CONTAINERS = Place(
    store=Server("store", "TIERVDB_STORE", ":9000", ":9001", "store:9000", "/data"),
    offsite=Server("offsite", "TIERVDB_OFFSITE", ":9000", ":9001", "offsite:9000", "/data"),
    agent="0.0.0.0:9464",
    home="/var/lib/tiervdb",
    config="/etc/tiervdb/tiervdb.toml",
    scripts="/opt/stack",
)


def services(place: Place, keys: Mapping[str, str]) -> list[Service]:
    """All of them, each after those that it needs."""
    return [
        minio(place.store, keys),
        minio(place.offsite, keys),
        Service(
            "buckets",
            (place.python, f"{place.scripts}/make_buckets.py", place.config),
            keys,
            after=("store", "offsite"),
            ends=True,
        ),
        Service(
            "words", (place.python, f"{place.scripts}/words.py", place.config), keys, after=("buckets",), ends=True
        ),
        Service(
            "agent",
            (*place.tiervdb, "agent", "--config", place.config),
            keys,
            after=("words",),
        ),
    ]


def minio(server: Server, keys: Mapping[str, str], binary: str = "minio") -> Service:
    return Service(
        server.name,
        (binary, "server", "--quiet", "--address", server.listen, "--console-address", server.console, server.data),
        {
            "MINIO_ROOT_USER": keys[f"{server.key}_KEY"],
            "MINIO_ROOT_PASSWORD": keys[f"{server.key}_SECRET"],
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",
        },
    )


def seaweedfs(server: Server, keys: Mapping[str, str], binary: str, ports: list[int]) -> Service:
    """Instead of MinIO where there is none; only as a process. ``ports``: seven besides that of S3 itself."""
    identity = {
        "name": server.name,
        "credentials": [{"accessKey": keys[f"{server.key}_KEY"], "secretKey": keys[f"{server.key}_SECRET"]}],
        "actions": ["Admin", "Read", "List", "Tagging", "Write"],
    }
    data = Path(server.data)
    data.mkdir(parents=True, exist_ok=True)
    identities = data.with_name("s3.json")
    identities.touch(mode=0o600)
    identities.write_text(json.dumps({"identities": [identity]}))
    names = (
        "s3",
        "s3.port.grpc",
        "master",
        "master.port.grpc",
        "volume",
        "volume.port.grpc",
        "filer",
        "filer.port.grpc",
    )
    given = dict(zip(names, [int(server.listen.rpartition(":")[2]), *ports], strict=True))
    listen = [f"-{name if '.' in name else f'{name}.port'}={port}" for name, port in given.items()]
    command = [binary, "server", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3", *listen]
    command += [f"-s3.config={identities}", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.autoCreateBucket=false"]
    command += ["-master.volumeSizeLimitMB=128", "-volume.max=50", "-volume.preStopSeconds=0"]
    return Service(server.name, tuple(command))


def config_text(place: Place) -> str:
    """The configuration, with the addresses of this place instead of those of the containers."""
    text = CONFIG.read_text(encoding="utf-8")
    for theirs, ours in (
        (f'"http://{CONTAINERS.store.reach}"', f'"http://{place.store.reach}"'),
        (f'"http://{CONTAINERS.offsite.reach}"', f'"http://{place.offsite.reach}"'),
        (f'"{CONTAINERS.agent}"', f'"{place.agent}"'),
        (f'"{CONTAINERS.home}/', f'"{place.home}/'),
    ):
        assert theirs in text, f"{CONFIG} names no {theirs}"
        text = text.replace(theirs, ours)
    return text
