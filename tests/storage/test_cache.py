"""The disk cache of ranges: budget, order, restarts, damage."""

from __future__ import annotations

import random
import shutil
import threading
from pathlib import Path

import pytest

from tests.support.crash_dir import CrashDir, every_crash
from tests.support.faulty_dir import FaultyDir, io_error
from tiervdb.errors import InvalidInputError
from tiervdb.storage.cache import CachedStore, RangeCache
from tiervdb.storage.counting import CountingStore
from tiervdb.storage.object_store import ByteRange
from tiervdb.storage.open import open_store
from tiervdb.storage.os_dir import OsDir
from tiervdb.storage.tally import measured

BUDGET = 100_000


def content(number: int, size: int = 1000) -> bytes:
    return random.Random(number).randbytes(size)


def fill(cache: RangeCache, numbers: range, size: int = 1000) -> None:
    for number in numbers:
        cache.put("key", ByteRange(number * size, size), content(number, size))


def held(cache: RangeCache, numbers: range, size: int = 1000) -> list[int]:
    """The numbers that are there, checked."""
    found = [(n, cache.get("key", ByteRange(n * size, size))) for n in numbers]
    assert all(data in {None, content(n, size)} for n, data in found)
    return [n for n, data in found if data is not None]


@pytest.fixture
def local(tmp_path: Path) -> OsDir:
    return OsDir(tmp_path)


def test_what_was_put_comes_back_also_after_a_restart(local: OsDir) -> None:
    cache = RangeCache(local, budget_bytes=BUDGET)
    fill(cache, range(50))
    cache.put("other/é", ByteRange(0, 0), b"")
    for again in (cache, RangeCache(local, budget_bytes=BUDGET)):
        assert held(again, range(60)) == list(range(50))
        assert again.get("other/é", ByteRange(0, 0)) == b""
        assert again.get("other", ByteRange(0, 1000)) is None
        assert again.get("key", ByteRange(0, 999)) is None
    cache.close()


def test_the_budget_holds_and_the_used_stay(local: OsDir) -> None:
    cache = RangeCache(local, budget_bytes=BUDGET)
    for number in range(500):
        fill(cache, range(number, number + 1))
        assert held(cache, range(3)) == list(range(min(number + 1, 3)))
        assert cache.size <= BUDGET
    newest = held(cache, range(3, 500))
    assert 60 < len(newest) < 100
    assert newest == list(range(500 - len(newest), 500))
    assert sum(local.size(name) for name in local.list("cache")) == cache.size
    cache.close()
    again = RangeCache(local, budget_bytes=BUDGET // 2)
    fill(again, range(500, 501))
    assert again.size <= BUDGET // 2
    again.close()


@pytest.mark.parametrize("budget", [0, 1, 500])
def test_what_does_not_fit_is_not_kept(local: OsDir, budget: int) -> None:
    cache = RangeCache(local, budget_bytes=budget)
    fill(cache, range(3))
    assert held(cache, range(3)) == []
    cache.close()
    with pytest.raises(InvalidInputError):
        RangeCache(local, budget_bytes=-1)


def test_large_and_small_together(local: OsDir) -> None:
    cache = RangeCache(local, budget_bytes=BUDGET)
    for number in range(40):
        fill(cache, range(number, number + 1), size=30_000)
        fill(cache, range(number, number + 1))
        assert held(cache, range(number, number + 1), size=30_000) == [number]
        assert cache.size <= BUDGET
    cache.close()


def test_data_of_the_wrong_length_is_not_kept(local: OsDir) -> None:
    cache = RangeCache(local)
    cache.put("key", ByteRange(0, 5), b"1234")
    assert cache.get("key", ByteRange(0, 5)) is None


@pytest.mark.parametrize("seed", range(20))
def test_damage_is_a_miss(local: OsDir, seed: int) -> None:
    cache = RangeCache(local, budget_bytes=BUDGET)
    fill(cache, range(50))
    cache.close()
    chance = random.Random(seed)
    path = local.path(chance.choice(local.list("cache")))
    data = bytearray(path.read_bytes())
    if seed % 2:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    else:
        del data[chance.randrange(len(data)) :]
    path.write_bytes(data)
    for again in (cache, RangeCache(local, budget_bytes=BUDGET)):
        assert len(held(again, range(50))) < 50
    last = RangeCache(local, budget_bytes=BUDGET)
    held(last, range(50))
    fill(last, range(50))
    assert held(last, range(50)) == list(range(50))
    last.close()


def test_files_of_others_in_its_folder(local: OsDir) -> None:
    local.write_atomic("cache/notes.txt", b"mine")
    local.write_atomic("cache/xx.ranges", b"mine")
    local.write_atomic("cache/0000000001.ranges", b"")
    cache = RangeCache(local, budget_bytes=BUDGET)
    fill(cache, range(200))
    assert 199 in held(cache, range(200))
    assert local.read("cache/notes.txt") == local.read("cache/xx.ranges") == b"mine"
    cache.close()


def test_it_may_be_deleted_at_any_time(local: OsDir) -> None:
    cache = RangeCache(local, budget_bytes=BUDGET)
    fill(cache, range(30))
    shutil.rmtree(local.path("cache"))
    assert held(cache, range(30)) == []
    fill(cache, range(30, 60))
    assert held(cache, range(60)) == list(range(30, 60))
    cache.close()


def test_two_at_once_on_one_folder(local: OsDir) -> None:
    ours, theirs = (RangeCache(local, budget_bytes=BUDGET) for _ in range(2))
    for number in range(0, 200, 2):
        fill(ours, range(number, number + 1))
        fill(theirs, range(number + 1, number + 2))
    assert 198 in held(ours, range(200))
    assert 199 in held(theirs, range(200))
    ours.close()
    theirs.close()


def test_a_full_or_failing_disk_is_no_error(tmp_path: Path) -> None:
    local = FaultyDir(tmp_path)
    cache = RangeCache(local, budget_bytes=BUDGET)
    fill(cache, range(10))
    local.fill_up(1500)
    fill(cache, range(10, 30))
    assert held(cache, range(11)) == list(range(11))
    local.make_room()
    fill(cache, range(20, 30))
    assert held(cache, range(20, 30)) == list(range(20, 30))
    local.plan.fail(io_error(), "read", count=None)
    assert held(cache, range(30)) == []
    local.plan.heal()
    local.plan.fail(io_error(), count=None)
    fill(RangeCache(local), range(3))
    local.plan.heal()
    cache.close()


def test_what_was_forgotten_and_put_again_is_evicted_once(local: OsDir) -> None:
    cache = RangeCache(local, budget_bytes=BUDGET)
    fill(cache, range(2))
    assert cache.forget("key")
    fill(cache, range(300))
    assert len(held(cache, range(300))) > 50
    assert cache.size <= BUDGET
    cache.close()


def test_from_many_threads(local: OsDir) -> None:
    cache = RangeCache(local, budget_bytes=BUDGET)
    wrong: list[int] = []

    def work(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(300):
            number = chance.randrange(150)
            found = cache.get("key", ByteRange(number * 1000, 1000))
            if found is None:
                fill(cache, range(number, number + 1))
            elif found != content(number):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert cache.size <= BUDGET
    cache.close()


def test_crashes_leave_nothing_wrong(tmp_path: Path) -> None:
    def workload(local: CrashDir) -> None:
        cache = RangeCache(local, budget_bytes=20_000)
        fill(cache, range(40))
        held(cache, range(40))

    for number, crashed in enumerate(every_crash(workload, tmp_path, stride=3)):
        crashed.drop_unsynced(seed=number)
        held(RangeCache(OsDir(crashed.root), budget_bytes=20_000), range(40))


def test_a_store_reads_through_it(tmp_path: Path) -> None:
    counted = CountingStore(open_store(tmp_path / "store"))
    store = CachedStore(counted, RangeCache(OsDir(tmp_path)))
    store.put("k", content(1))
    ranges = [ByteRange(0, 10), ByteRange(500, 20)]
    with measured() as first:
        store.get_ranges("k", ranges)
    with measured() as second:
        parts = store.get_ranges("k", [*ranges, ByteRange(900, 5)])
    assert parts == [content(1)[r.start : r.end] for r in [*ranges, ByteRange(900, 5)]]
    assert (first.gets, first.waves, first.bytes_read, first.cache_hits) == (1, 1, 520, 0)  # neighbours share one
    assert (second.gets, second.waves, second.bytes_read, second.cache_hits, second.cache_bytes) == (1, 1, 5, 2, 30)
    assert store.snapshot().cache_hits == 2
    store.close()
