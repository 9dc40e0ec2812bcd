"""A cold store that is away, slow, loses replies, or gives damaged bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.crash.workload import rows, two_collections
from tests.model.bench import Bench
from tests.support.faulty_store import FaultyStore
from tiervdb.engine.core import manifest_objects
from tiervdb.errors import CorruptionError, FencedError, StoreUnavailableError
from tiervdb.format import documents, paths
from tiervdb.format.documents import EpochDocument, Owner
from tiervdb.storage.counting import CountingStore
from tiervdb.storage.object_store import ByteRange, check_length

LOST = StoreUnavailableError("the reply was lost")
WRITES = ("put_if_absent", "put_file", "stat", "get_ranges", "list")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Half of the words are cold; the other collection is hot."""
    made = Bench(tmp_path / "bench")
    made.start()
    two_collections(made)
    made.upsert("words", rows(range(20)))
    made.upsert("texts", rows(range(6), text=True))
    made.db.demote("words", 0.5)
    made.db.maintain()
    yield made
    made.end()


@pytest.fixture
def store(bench: Bench) -> FaultyStore:
    return broken(bench)


def broken(bench: Bench, seed: int = 0) -> FaultyStore:
    """Puts a store that can fail below the database's cache and counter."""
    counted = bench.shard.core.env.cold.store
    assert isinstance(counted, CountingStore)
    counted.inner = faulty = CheckedStore(counted.inner, seed)
    return faulty


class CheckedStore(FaultyStore):
    """Short answers are told from whole ones, as every store does."""

    def get_ranges(self, key: str, ranges: Sequence[ByteRange]) -> list[bytes]:
        parts = super().get_ranges(key, ranges)
        return [check_length(part, wanted, key, self.url) for part, wanted in zip(parts, ranges, strict=True)]


def query(n: float) -> np.ndarray:
    return np.array([n, 0, 1], np.float32)


def test_what_needs_no_cold_row_goes_on(bench: Bench, store: FaultyStore) -> None:
    store.away = True
    bench.upsert("words", rows([1, 2, 30], 5))  # ids are looked up locally, in cold segments too
    bench.delete("words", [3, 15])
    bench.db.flush()
    bench.snapshot("meanwhile")
    assert bench.db["words"].count() == 19
    assert bench.db["words"].count("rank < 7") == 4
    assert len(bench.db["texts"].search(query(1), k=3)) == 3
    store.away = False
    bench.verify()


def test_what_needs_cold_rows_says_so(bench: Bench, store: FaultyStore) -> None:
    store.away = True
    for call in (
        lambda: bench.db["words"].search(query(2), k=3, exact=True),
        lambda: bench.db["words"].get([2], vectors=True),
        lambda: bench.db["words"].scan(vectors=True).read_all(),
        lambda: bench.db["words"].update(ids=[2], columns={"pos": "x"}),
        lambda: bench.db.promote("words"),
    ):
        with pytest.raises(StoreUnavailableError, match="away"):
            call()
    store.away = False
    bench.verify()


def test_a_search_may_skip_what_it_cannot_reach(bench: Bench, store: FaultyStore) -> None:
    store.away = True
    hits = bench.db["words"].search(query(2), k=15, exact=True, on_unavailable="skip")
    assert len(hits) == 10
    assert set(hits.ids.tolist()) == set(range(10, 20))
    assert len(hits.stats.skipped) == 1
    assert "10 rows" in hits.stats.skipped[0]
    store.away = False
    hits = bench.db["words"].search(query(2), k=15, exact=True, on_unavailable="skip")
    assert (len(hits), hits.stats.skipped) == (15, ())


def test_a_slow_store_only_takes_time(bench: Bench, store: FaultyStore) -> None:
    store.delay = lambda: bench.clock.advance(60)
    bench.db.demote("words")
    bench.db.promote("words", 0.5)
    bench.upsert("words", rows([4], 5))
    bench.verify()


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("kind", WRITES)
def test_a_demotion_that_fails_moves_nothing(bench: Bench, kind: str, when: str) -> None:
    """Or all, if the store fails when all is done; and what was uploaded in vain is deleted."""
    noticed = 0
    for at in range(1, 5):
        bench.reopen()  # each writer takes an epoch
        store = broken(bench)
        store.plan.fail(LOST, kind, at=at, when=when)
        before = bench.db.stats().collections
        try:
            bench.db.demote("words")
        except StoreUnavailableError:
            noticed += 1
            assert bench.db.stats().collections == before
        store.plan.heal()
        bench.verify()
        bench.db.promote("words", 0.5)
        bench.db.maintain()
        assert objects(bench) == listed(bench)
    assert noticed
    bench.reopen()


@pytest.mark.parametrize("how", ["flip", "cut"])
def test_an_upload_that_is_not_what_was_sent_is_noticed(bench: Bench, store: FaultyStore, how: str) -> None:
    before = bench.db.stats().collections
    store.plan.damage(how, "get_ranges", count=None)
    with pytest.raises(CorruptionError, match=r"codebook"):
        bench.db.demote("texts")
    assert bench.db.stats().collections == before
    store.plan.heal()
    bench.verify()
    bench.db.maintain()
    assert objects(bench) == listed(bench)


@pytest.mark.parametrize("how", ["flip", "cut"])
@pytest.mark.parametrize("at", range(1, 5))
def test_damaged_answers_are_never_rows(bench: Bench, store: FaultyStore, how: str, at: int) -> None:
    expected = bench.db["words"].search(query(3), k=12, exact=True).to_pylist()
    bench.stop()
    for cached in bench.local.list("cache"):
        bench.local.delete(cached)
    bench.start()
    faulty = broken(bench, seed=at)
    faulty.plan.damage(how, "get_ranges", at=at, count=1)
    told: list[str] = []
    for _ in range(4):
        try:
            assert bench.db["words"].search(query(3), k=12, exact=True).to_pylist() == expected
            assert len(bench.db["words"].scan(vectors=True).read_all()) == 20
        except CorruptionError as error:
            told.append(str(error))
    faulty.plan.heal()
    assert all(".parquet" in text for text in told)
    assert len(told) <= 1  # what came damaged is not kept
    assert bench.db["words"].search(query(3), k=12, exact=True).to_pylist() == expected
    bench.verify()


def test_a_newer_writer_in_the_store_stops_this_one(bench: Bench, store: FaultyStore) -> None:
    database_id = bench.db.status().database_id
    taken = EpochDocument(
        database_id=database_id,
        epoch=2,
        timeline="a" * 32,
        writer="b" * 32,
        created_us=0,
        owner=Owner(pid=1, host="elsewhere"),
    )
    store.put_if_absent(paths.EpochKey(database_id, 2).key, documents.encode(taken))
    before = bench.db.stats().collections
    with pytest.raises(FencedError, match="epoch 2"):
        bench.db.demote("words")
    assert bench.db.stats().collections == before
    bench.verify()


def test_a_background_failure_is_told_and_goes_away(bench: Bench, store: FaultyStore) -> None:
    """Garbage collection passes over a store that is away, and finishes when it is back."""
    bench.db.promote("words")
    store.away = True
    bench.db.maintain()
    assert objects(bench) != listed(bench)
    store.away = False
    bench.db.maintain()
    assert objects(bench) == listed(bench)
    bench.verify()


def objects(bench: Bench) -> set[str]:
    names = (name.removeprefix("cold/") for name in bench.local.walk("cold"))
    return {name for name in names if isinstance(paths.parse_key(name), paths.ObjectKey)}


def listed(bench: Bench) -> set[str]:
    return set(manifest_objects(bench.shard.manifest()))
