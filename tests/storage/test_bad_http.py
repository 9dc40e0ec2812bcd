"""A real S3 server behind a proxy that misbehaves."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

import tiervdb
from tests.support.http_proxy import HttpProxy, http_proxy
from tests.support.s3_servers import S3Endpoint
from tiervdb.clock import SystemClock
from tiervdb.errors import SingleWriterWarning, StoreUnavailableError
from tiervdb.storage.doctor import examine
from tiervdb.storage.limits import StoreLimits
from tiervdb.storage.object_store import ByteRange, ObjectStore
from tiervdb.storage.open import Store, open_store

pytestmark = pytest.mark.s3
CONDITIONS = frozenset({"if-none-match", "if-match"})


@pytest.fixture
def behind(seaweedfs: S3Endpoint) -> Iterator[tuple[Store, HttpProxy]]:
    port = urlsplit(str(seaweedfs.storage_options["endpoint_url"])).port
    assert port is not None
    with http_proxy(port, seaweedfs.storage_options) as proxy:
        options = seaweedfs.storage_options | {"endpoint_url": f"http://127.0.0.1:{proxy.port}"}
        limits = StoreLimits(connect_timeout=1, read_timeout=5, attempts=1, retry_seconds=2)
        yield Store(seaweedfs.place().url, options, limits), proxy


@pytest.fixture
def store(behind: tuple[Store, HttpProxy]) -> Iterator[ObjectStore]:
    with ExitStack() as stack:
        store = open_store(behind[0])
        stack.callback(store.close)
        store.put("k", b"12345")
        yield store


@pytest.fixture
def proxy(behind: tuple[Store, HttpProxy]) -> HttpProxy:
    return behind[1]


def test_a_sound_proxy_changes_nothing(store: ObjectStore) -> None:
    report = examine(store, SystemClock(), random.Random(1), lambda: 0.0)
    assert (report.usable, report.conditional) == (True, True)


def test_conditions_that_never_arrive(store: ObjectStore, proxy: HttpProxy) -> None:
    proxy.strip = CONDITIONS
    report = examine(store, SystemClock(), random.Random(1), lambda: 0.0)
    assert (report.usable, report.conditional) == (True, False)
    bad = {f.question: f.measured for f in report.findings if f.result != "yes"}
    assert set(bad) == {"creates if absent", "one winner of a race", "replaces if unchanged"}
    assert "overwritten" in bad["creates if absent"]
    assert bad["one winner of a race"] == "8 of 8 writers won"
    assert [s.key for s in store.list("")] == ["k"]


@pytest.mark.parametrize("what", ["slow_down", "cut"])
def test_what_passes_is_waited_for(store: ObjectStore, proxy: HttpProxy, tmp_path: Path, what: str) -> None:
    setattr(proxy, what, 2)
    assert store.get("k") == b"12345"
    setattr(proxy, what, 2)
    assert store.get_ranges("k", [ByteRange(1, 3)]) == [b"234"]
    setattr(proxy, what, 2)
    store.get_file("k", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"12345"
    assert proxy.count == 6


def test_writes_wait_too(store: ObjectStore, proxy: HttpProxy, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"file")
    proxy.slow_down = 2
    store.put("a", b"a")
    proxy.slow_down = 2
    store.put_file("b", tmp_path / "file")
    assert (store.get("a"), store.get("b")) == (b"a", b"file")


@pytest.mark.parametrize("what", ["slow_down", "cut"])
def test_what_does_not_pass_is_an_error_with_a_name(store: ObjectStore, proxy: HttpProxy, what: str) -> None:
    setattr(proxy, what, 10**6)
    with pytest.raises(StoreUnavailableError, match="reading k in"):
        store.get("k")
    with pytest.raises(StoreUnavailableError, match="reading k in"):
        store.get_ranges("k", [ByteRange(1, 3)])


def test_a_swallowed_reply_of_a_creation(store: ObjectStore, proxy: HttpProxy) -> None:
    proxy.swallow = 1
    store.put_if_absent("new", b"mine")
    assert (store.get("new"), proxy.count) == (b"mine", 1)


def test_a_database_on_a_store_that_drops_conditions(
    behind: tuple[Store, HttpProxy], proxy: HttpProxy, tmp_path: Path
) -> None:
    proxy.strip = CONDITIONS
    vectors = np.random.default_rng(1).random((50, 4), np.float32)
    with tiervdb.open(tmp_path / "db", cold=behind[0]) as db:
        db.create_collection("words", dim=4, id_type="int64").upsert(ids=np.arange(50), vectors=vectors)
        assert db.status().single_writer is None
        with pytest.warns(SingleWriterWarning, match="two machines"):
            db.demote("words")
        assert db.status().single_writer is True
        expected = db["words"].search(vectors[3], k=5, exact=True).ids.tolist()
    proxy.slow_down = proxy.cut = 1
    with tiervdb.open(tmp_path / "db", cold=behind[0], cache_bytes=0) as db:
        assert db["words"].search(vectors[3], k=5, exact=True).ids.tolist() == expected
    with tiervdb.open(tmp_path / "db", cold=behind[0], read_only=True) as db:
        assert db.status().single_writer is True
