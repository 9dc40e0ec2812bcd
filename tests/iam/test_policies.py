"""The policies of configs/iam, on MinIO with users of their own: who may do what, and what an attacker can destroy."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import boto3
import botocore.config
import numpy as np
import pytest
from botocore.exceptions import ClientError
from minio import MinioAdmin
from minio.credentials import StaticProvider

import tiervdb
from tests.support.s3_servers import S3Endpoint
from tests.test_docs import ROOT
from tiervdb import Policy, Repository, Target
from tiervdb.errors import StoreRefusedError

ROLES = ("writer", "expirer", "reader", "auditor")
PREFIX = "backups/words"
pytestmark = pytest.mark.s3


@dataclass(frozen=True)
class Service:
    """A bucket with Object Lock on MinIO, and a user of each role."""

    endpoint: str
    bucket: str
    root: tuple[str, str]

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{PREFIX}"

    def options(self, role: str) -> dict[str, object]:
        key, secret = self.root if role == "root" else (f"{self.bucket}-{role}", f"{role}-secret-123")
        return {"key": key, "secret": secret, "endpoint_url": self.endpoint}

    def repository(self, role: str, **how: Any) -> Repository:
        return Repository(self.url, self.options(role), **how)

    @contextmanager
    def client(self, role: str) -> Iterator[Any]:
        options = self.options(role)
        client = boto3.client(
            "s3",
            aws_access_key_id=str(options["key"]),
            aws_secret_access_key=str(options["secret"]),
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            config=botocore.config.Config(retries={"max_attempts": 1}),
        )
        with closing(client):
            yield client


@pytest.fixture
def service(minio: S3Endpoint) -> Service:
    key, secret = str(minio.storage_options["key"]), str(minio.storage_options["secret"])
    endpoint = str(minio.storage_options["endpoint_url"])
    service = Service(endpoint, f"iam-{random.Random().getrandbits(40):x}", (key, secret))
    with service.client("root") as client:
        client.create_bucket(Bucket=service.bucket, ObjectLockEnabledForBucket=True)
    admin = MinioAdmin(endpoint=urlparse(endpoint).netloc, credentials=StaticProvider(key, secret), secure=False)
    for role in ROLES:
        text = (ROOT / "configs" / "iam" / f"{role}.json").read_text()
        policy = json.loads(text.replace("BUCKET", service.bucket).replace("PREFIX", PREFIX))
        name = str(service.options(role)["key"])
        admin.policy_add(name, policy=policy)
        admin.user_add(name, str(service.options(role)["secret"]))
        admin.policy_set(name, user=name)
    return service


@pytest.fixture
def backed_up(service: Service, tmp_path: Path) -> tiervdb.Backup:
    with tiervdb.open(tmp_path / "db", repository=service.repository("writer")) as db:
        words = db.create_collection("words", dim=4, id_type="int64")
        words.upsert(ids=np.arange(100), vectors=np.random.default_rng(1).normal(size=(100, 4)).astype(np.float32))
        done = db.backup()
        words.delete(ids=[1])
        db.archive()
    assert isinstance(done, tiervdb.Backup)
    return done


def rows(path: Path) -> int:
    with tiervdb.open(path, create=False) as db:
        return len(db["words"])


def test_the_writer_backs_up_archives_and_restores(service: Service, backed_up: tiervdb.Backup, tmp_path: Path) -> None:
    writer = service.repository("writer")
    writer.restore(tmp_path / "restored")
    assert rows(tmp_path / "restored") == 99
    assert writer.verify(deep=True).ok
    with pytest.raises(StoreRefusedError):
        writer.expire(Policy(), dry_run=False)


def test_the_writer_destroys_no_version(service: Service, backed_up: tiervdb.Backup) -> None:
    with service.client("root") as root, service.client("writer") as writer:
        for version in root.list_object_versions(Bucket=service.bucket)["Versions"]:
            which = {"Bucket": service.bucket, "Key": version["Key"]}
            with pytest.raises(ClientError, match="AccessDenied"):
                writer.delete_object(**which, VersionId=version["VersionId"])
            if not version["Key"].startswith((f"{PREFIX}/leases/", f"{PREFIX}/pins/", f"{PREFIX}/probe/")):
                with pytest.raises(ClientError, match="AccessDenied"):
                    writer.delete_object(**which)


def test_the_reader_reads_only(service: Service, backed_up: tiervdb.Backup, tmp_path: Path) -> None:
    reader = service.repository("reader")
    reader.restore(tmp_path / "restored", Target.backup(backed_up.id))
    assert rows(tmp_path / "restored") == 100
    assert reader.sql("select count(*) from backups").fetchall() == [(1,)]
    assert reader.verify().ok
    for refused in (
        lambda: reader.hold(backed_up.id, reason="x"),
        lambda: reader.expire(dry_run=False),
        lambda: reader.attach(tmp_path / "restored"),
    ):
        with pytest.raises(StoreRefusedError):
            refused()
    with service.client("reader") as client, pytest.raises(ClientError, match="AccessDenied"):
        client.put_object(Bucket=service.bucket, Key=f"{PREFIX}/backups/x", Body=b"x")


def test_the_auditor_proves_and_writes_that_down(service: Service, backed_up: tiervdb.Backup) -> None:
    auditor = service.repository("auditor")
    assert auditor.verify(deep=True).ok
    assert auditor.drill().ok
    assert service.repository("reader").sql("select count(*) from drills where ok").fetchall() == [(1,)]
    with pytest.raises(StoreRefusedError):
        auditor.hold(backed_up.id, reason="x")
    with service.client("auditor") as client, pytest.raises(ClientError, match="AccessDenied"):
        client.delete_object(Bucket=service.bucket, Key=f"{PREFIX}/backups/{backed_up.id}")


def test_the_expirer_retains_and_hides_but_destroys_nothing(service: Service, backed_up: tiervdb.Backup) -> None:
    expirer = service.repository("expirer")
    done = expirer.expire(Policy(lock="1d"), dry_run=False)
    assert done.locked_objects > 5
    with service.client("root") as root, service.client("expirer") as client:
        for version in root.list_object_versions(Bucket=service.bucket)["Versions"]:
            with pytest.raises(ClientError, match="AccessDenied"):
                client.delete_object(Bucket=service.bucket, Key=version["Key"], VersionId=version["VersionId"])


def test_ransomware_with_the_writers_key(service: Service, backed_up: tiervdb.Backup, tmp_path: Path) -> None:
    """It overwrites all that it can. What was retained is brought back by removing what it wrote."""
    service.repository("expirer").expire(Policy(lock="1d"), dry_run=False)
    with service.client("root") as root:
        before = {(v["Key"], v["VersionId"]) for v in root.list_object_versions(Bucket=service.bucket)["Versions"]}
        with service.client("writer") as thief:
            for key, version in sorted(before):
                thief.put_object(Bucket=service.bucket, Key=key, Body=b"pay")
                with pytest.raises(ClientError, match="AccessDenied"):
                    thief.delete_object(Bucket=service.bucket, Key=key, VersionId=version)
        with pytest.raises(tiervdb.errors.TiervdbError):
            service.repository("reader").restore(tmp_path / "lost")
        _bring_back(root, service.bucket, before)
    repository = service.repository("reader")
    assert repository.verify(deep=True).ok
    repository.restore(tmp_path / "back")
    assert rows(tmp_path / "back") == 99


def _bring_back(root: Any, bucket: str, before: set[tuple[str, str]]) -> None:
    """What docs/operations.md tells an administrator to do: everything that is younger than the attack goes."""
    found = root.list_object_versions(Bucket=bucket)
    for version in [*found.get("Versions", []), *found.get("DeleteMarkers", [])]:
        if (version["Key"], version["VersionId"]) not in before and isinstance(version["LastModified"], datetime):
            root.delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])
