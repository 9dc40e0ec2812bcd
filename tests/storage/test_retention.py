"""Object Lock: what retains objects, against real servers."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from tests.storage.locked_bucket import locked_endpoint, s3_client
from tests.support.faulty_store import FaultyStore
from tests.support.s3_servers import S3Endpoint
from tiervdb.clock import SystemClock
from tiervdb.errors import (
    FeatureUnavailableError,
    InvalidInputError,
    ObjectNotFoundError,
    StoreRefusedError,
)
from tiervdb.storage.cache import CachedStore, RangeCache
from tiervdb.storage.counting import CountingStore
from tiervdb.storage.doctor import examine
from tiervdb.storage.object_store import ByteRange, ObjectStore
from tiervdb.storage.open import Store, open_store
from tiervdb.storage.os_dir import OsDir
from tiervdb.storage.retention import RetainingStore, RetentionMode, retaining

HOUR = 3_600_000_000  # microseconds
NOW = time.time_ns() // 1_000_000_000 * 1_000_000
MODES: list[RetentionMode] = ["GOVERNANCE", "COMPLIANCE"]


@dataclass(frozen=True)
class Bucket:
    """A place in a bucket with Object Lock, through tiervdb (``store``, ``locks``) and through boto3 (``client``)."""

    endpoint: S3Endpoint
    place: Store
    store: ObjectStore
    locks: RetainingStore
    client: Any

    def at(self, key: str) -> dict[str, str]:
        parts = urlsplit(str(self.place.url))
        return {"Bucket": parts.netloc, "Key": f"{parts.path.strip('/')}/{key}"}

    def version(self, key: str) -> str:
        """The id of the version that the key has now."""
        return str(self.client.head_object(**self.at(key))["VersionId"])

    def read(self, key: str, version: str) -> bytes:
        with self.client.get_object(**self.at(key), VersionId=version)["Body"] as body:
            return bytes(body.read())

    def mode(self, key: str) -> str:
        return str(self.client.get_object_retention(**self.at(key))["Retention"]["Mode"])


@pytest.fixture
def bucket(s3_endpoint: S3Endpoint) -> Iterator[Bucket]:
    endpoint = locked_endpoint(s3_endpoint)
    place = endpoint.place()
    store = open_store(place)
    locks = retaining(store)
    assert locks is not None
    with s3_client(endpoint) as client:
        yield Bucket(endpoint, place, store, locks, client)
    store.close()


@pytest.fixture
def plain(s3_endpoint: S3Endpoint) -> Iterator[ObjectStore]:
    """A store in a bucket without Object Lock."""
    store = open_store(s3_endpoint.place())
    yield store
    store.close()


def test_who_retains(plain: ObjectStore, tmp_path: Path) -> None:
    for store in (plain, open_store(tmp_path / "store"), open_store("memory://store"), CountingStore(plain)):
        assert retaining(store) is None


def test_through_wrappers(bucket: Bucket, tmp_path: Path) -> None:
    wrapped = CachedStore(CountingStore(FaultyStore(bucket.store)), RangeCache(OsDir(tmp_path)))
    assert retaining(wrapped) is bucket.store


def test_a_wrapper_that_retains_by_itself() -> None:
    class Retaining(CountingStore):
        def retains(self) -> bool:
            return True

        def retain(self, key: str, until_us: int, mode: RetentionMode = "GOVERNANCE") -> None:
            raise NotImplementedError

        def retained_until(self, key: str) -> int | None:
            raise NotImplementedError

    store = Retaining(open_store("memory://store"))
    assert retaining(CountingStore(store)) is store


def test_a_bucket_without_object_lock(plain: ObjectStore) -> None:
    assert isinstance(plain, RetainingStore)
    plain.put("k", b"1")
    assert plain.retained_until("k") is None
    with pytest.raises(FeatureUnavailableError, match=r"retaining k in s3://.* no Object Lock"):
        plain.retain("k", NOW + HOUR)


def test_a_missing_bucket(s3_endpoint: S3Endpoint) -> None:
    store = open_store(Store("s3://tiervdb-no-such-bucket/prefix", s3_endpoint.storage_options))
    assert isinstance(store, RetainingStore)
    for call in (store.retains, lambda: store.retain("k", NOW + HOUR), lambda: store.retained_until("k")):
        with pytest.raises(StoreRefusedError, match="bucket"):
            call()
    store.close()


@pytest.mark.parametrize("mode", MODES)
def test_set_extended_never_shortened(bucket: Bucket, mode: RetentionMode) -> None:
    bucket.store.put("k", b"1")
    assert bucket.locks.retained_until("k") is None
    for asked, held in ((2, 2), (2, 2), (1, 2), (5, 5), (3, 5)):
        bucket.locks.retain("k", NOW + asked * HOUR, mode)
        assert bucket.locks.retained_until("k") == NOW + held * HOUR
    assert bucket.mode("k") == mode
    assert bucket.store.get("k") == b"1"


def test_no_part_of_a_second_is_lost(bucket: Bucket) -> None:
    bucket.store.put("k", b"1")
    bucket.locks.retain("k", NOW + HOUR + 1)
    assert bucket.locks.retained_until("k") == NOW + HOUR + 1_000_000


def test_compliance_stays(bucket: Bucket) -> None:
    bucket.store.put("k", b"1")
    bucket.locks.retain("k", NOW + HOUR, "COMPLIANCE")
    bucket.locks.retain("k", NOW + 2 * HOUR, "GOVERNANCE")
    assert (bucket.mode("k"), bucket.locks.retained_until("k")) == ("COMPLIANCE", NOW + 2 * HOUR)


@pytest.mark.parametrize("hours", [1, 3])
def test_governance_is_not_lifted(bucket: Bucket, hours: int) -> None:
    bucket.store.put("k", b"1")
    bucket.locks.retain("k", NOW + 2 * HOUR)
    with pytest.raises(StoreRefusedError, match="s3:BypassGovernanceRetention"):
        bucket.locks.retain("k", NOW + hours * HOUR, "COMPLIANCE")
    assert (bucket.mode("k"), bucket.locks.retained_until("k")) == ("GOVERNANCE", NOW + 2 * HOUR)


def test_a_key_that_is_not_there(bucket: Bucket) -> None:
    bucket.store.put("deleted", b"1")
    bucket.store.delete("deleted")
    for key in ("missing", "deleted"):
        with pytest.raises(ObjectNotFoundError, match=key):
            bucket.locks.retain(key, NOW + HOUR)
        with pytest.raises(ObjectNotFoundError, match=key):
            bucket.locks.retained_until(key)
    with pytest.raises(InvalidInputError):
        bucket.locks.retain("../k", NOW + HOUR)


@pytest.mark.parametrize("until_us", [-(10**20), 0, 1_700_000_000_000_000, 10**20])
def test_times_that_cannot_be_used(bucket: Bucket, until_us: int) -> None:
    bucket.store.put("k", b"1")
    with pytest.raises(InvalidInputError, match=r"retaining k in s3://.* until"):
        bucket.locks.retain("k", until_us)
    assert bucket.locks.retained_until("k") is None


@pytest.mark.parametrize("mode", MODES)
def test_a_delete_hides_and_leaves_what_is_retained(bucket: Bucket, mode: RetentionMode) -> None:
    bucket.store.put("k", b"kept")
    bucket.locks.retain("k", NOW + HOUR, mode)
    version = bucket.version("k")
    bucket.store.delete("k")
    bucket.store.delete("k")
    assert list(bucket.store.list("")) == []
    with pytest.raises(ObjectNotFoundError):
        bucket.store.get("k")
    _is_protected(bucket, "k", version, b"kept")
    bucket.store.put_if_absent("k", b"new")
    assert bucket.store.get("k") == b"new"
    assert bucket.locks.retained_until("k") is None
    _is_protected(bucket, "k", version, b"kept")


def test_a_write_over_a_key_leaves_what_is_retained(bucket: Bucket, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"by file")
    bucket.store.put("k", b"kept")
    bucket.locks.retain("k", NOW + HOUR)
    version = bucket.version("k")
    bucket.store.put("k", b"by put")
    bucket.store.put_if_match("k", b"by match", bucket.store.stat("k").etag)
    bucket.store.put_file("k", file)
    assert bucket.store.get_ranges("k", [ByteRange(0, 7)]) == [b"by file"]
    assert bucket.locks.retained_until("k") is None
    _is_protected(bucket, "k", version, b"kept")


def test_only_the_bypass_removes_governance(bucket: Bucket) -> None:
    for key, mode in zip("gc", MODES, strict=True):
        bucket.store.put(key, b"1")
        bucket.locks.retain(key, NOW + HOUR, mode)
    where = bucket.at("g") | {"VersionId": bucket.version("g")}
    bucket.client.delete_object(**where, BypassGovernanceRetention=True)
    with pytest.raises(ObjectNotFoundError):
        bucket.store.stat("g")
    where = bucket.at("c") | {"VersionId": bucket.version("c")}
    with pytest.raises(ClientError):
        bucket.client.delete_object(**where, BypassGovernanceRetention=True)
    assert bucket.store.get("c") == b"1"


def test_files_in_parts_are_retained(bucket: Bucket, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(20 << 20))
    bucket.store.put_file("k", file)
    bucket.locks.retain("k", NOW + HOUR)
    version = bucket.version("k")
    bucket.store.delete("k")
    _is_protected(bucket, "k", version, file.read_bytes())


def test_many_at_once(bucket: Bucket) -> None:
    bucket.store.put("k", b"1")
    failures: list[BaseException] = []
    together = threading.Barrier(8)

    def retain(hours: int) -> None:
        together.wait()
        try:
            bucket.locks.retain("k", NOW + hours * HOUR)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=retain, args=(hours,)) for hours in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    held = bucket.locks.retained_until("k")
    if bucket.endpoint.name == "seaweedfs":  # compares and sets in two steps: any of them may be the last
        assert held in {NOW + hours * HOUR for hours in range(1, 9)}
    else:
        assert held == NOW + 8 * HOUR


def test_the_doctor_finds_nothing(bucket: Bucket) -> None:
    report = examine(bucket.store, SystemClock(), random.Random(1), lambda: 0.0)
    assert (report.usable, report.conditional) == (True, True)
    assert list(bucket.store.list("")) == []


def test_missing_permissions_are_named(bucket: Bucket) -> None:
    bucket.store.put("k", b"1")
    everybody = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": ["s3:GetObject"],
        "Resource": f"arn:aws:s3:::{bucket.at('k')['Bucket']}/*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [everybody]})
    bucket.client.put_bucket_policy(Bucket=bucket.at("k")["Bucket"], Policy=policy)
    options = {"anon": True, "endpoint_url": bucket.endpoint.storage_options["endpoint_url"]}
    store = open_store(Store(bucket.place.url, options))
    assert isinstance(store, RetainingStore)
    assert store.get("k") == b"1"
    with pytest.raises(StoreRefusedError, match="s3:GetBucketObjectLockConfiguration"):
        retaining(store)
    with pytest.raises(StoreRefusedError, match="s3:PutObjectRetention"):
        store.retain("k", NOW + HOUR)
    with pytest.raises(StoreRefusedError, match="s3:GetObjectRetention"):
        store.retained_until("k")
    store.close()


def _is_protected(bucket: Bucket, key: str, version: str, data: bytes) -> None:
    with pytest.raises(ClientError):
        bucket.client.delete_object(**bucket.at(key), VersionId=version)
    assert bucket.read(key, version) == data
