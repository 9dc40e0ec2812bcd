"""Counts: totals, differences, one thread's own."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.support.faulty_store import FaultyStore
from tiervdb.clock import ManualClock
from tiervdb.errors import ObjectNotFoundError, StoreUnavailableError
from tiervdb.storage.counting import CountingStore
from tiervdb.storage.object_store import ByteRange
from tiervdb.storage.open import open_store
from tiervdb.storage.tally import StoreTally, measured


@pytest.fixture
def store(tmp_path: Path) -> CountingStore:
    return CountingStore(open_store(tmp_path / "store"))


def test_everything_is_counted(store: CountingStore, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"1234567")
    store.put("k", b"123")
    store.put_if_absent("l", b"12")
    store.put_if_match("l", b"12345", store.stat("l").etag)
    store.put_file("f", file)
    store.get("k")
    store.get_ranges("k", [ByteRange(0, 1), ByteRange(1, 0), ByteRange(2, 1)])
    store.get_file("f", file)
    list(store.list(""))
    store.copy("k", "m")
    store.delete("k")
    with pytest.raises(ObjectNotFoundError):
        store.get("k")
    counted = store.snapshot()
    assert counted == StoreTally(
        gets=5, waves=4, bytes_read=12, puts=4, bytes_written=17, stats=1, lists=1, deletes=1, copies=1
    )
    store.get("m")
    assert store.snapshot() - counted == StoreTally(gets=1, waves=1, bytes_read=3)


def test_each_thread_measures_its_own(store: CountingStore) -> None:
    store.put("k", b"123")
    tallies: list[StoreTally] = []

    def read(times: int) -> None:
        with measured() as outer, measured() as inner:
            for _ in range(times):
                store.get("k")
        assert outer == inner
        tallies.append(outer)

    threads = [threading.Thread(target=read, args=(times,)) for times in (1, 20, 300)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(t.gets for t in tallies) == [1, 20, 300]
    assert store.snapshot().gets == 321


def test_faults(tmp_path: Path) -> None:
    store = FaultyStore(open_store(tmp_path / "store"), seed=3)
    clock = ManualClock(0)
    store.delay = lambda: clock.advance(0.03)
    store.plan.fail(StoreUnavailableError("lost"), "put", when="after")
    with pytest.raises(StoreUnavailableError, match="lost"):
        store.put("k", bytes(100))
    assert store.get("k") == bytes(100)
    store.plan.fail(StoreUnavailableError("away"), "put", name_part="k", at=2)
    store.put("k", bytes(50))
    with pytest.raises(StoreUnavailableError, match="away"):
        store.put("k", bytes(60))
    assert store.stat("k").size == 50
    store.plan.damage("flip", "get_ranges", count=None)
    parts = store.get_ranges("k", [ByteRange(0, 20), ByteRange(20, 20)])
    assert sum(byte.bit_count() for part in parts for byte in part) == 1
    store.plan.heal()
    store.plan.damage("cut", "get")
    assert len(store.get("k")) < 50
    store.away = True
    with pytest.raises(StoreUnavailableError, match="away"):
        store.get("k")
    assert clock.monotonic() == pytest.approx(8 * 0.03)
