"""Every object store, through the one suite."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.storage.conformance import ConformanceSuite
from tests.storage.locked_bucket import locked_endpoint
from tests.support.faulty_store import FaultyStore
from tests.support.s3_servers import S3Endpoint
from tiervdb.storage.cache import CachedStore, RangeCache
from tiervdb.storage.counting import CountingStore
from tiervdb.storage.object_store import ObjectStore
from tiervdb.storage.open import open_store
from tiervdb.storage.os_dir import OsDir


class TestDirectory(ConformanceSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> ObjectStore:
        return open_store(tmp_path / "store")


class TestS3(ConformanceSuite):
    @pytest.fixture
    def store(self, s3_endpoint: S3Endpoint) -> Iterator[ObjectStore]:
        store = open_store(s3_endpoint.place())
        yield store
        store.close()


class TestS3WithObjectLock(ConformanceSuite):
    """A bucket that keeps versions and what is retained."""

    @pytest.fixture
    def store(self, s3_endpoint: S3Endpoint) -> Iterator[ObjectStore]:
        store = open_store(locked_endpoint(s3_endpoint).place())
        yield store
        store.close()


class TestMemory(ConformanceSuite):
    @pytest.fixture
    def store(self) -> ObjectStore:
        return open_store(f"memory://{uuid.uuid4().hex}/store")


class TestCounting(ConformanceSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> ObjectStore:
        return CountingStore(open_store(tmp_path / "store"))


class TestCached(ConformanceSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[ObjectStore]:
        store = CachedStore(open_store(tmp_path / "store"), RangeCache(OsDir(tmp_path), budget_bytes=10_000_000))
        yield store
        store.close()

    def test_replacing(self, store: ObjectStore) -> None:
        pytest.skip("what is read by ranges must never change")


class TestFaultless(ConformanceSuite):
    """The wrapper that injects faults, without any."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> ObjectStore:
        return FaultyStore(open_store(tmp_path / "store"))
