"""Segments that move by a policy, and loads that go to the cold tier."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tiervdb
from tests.support.faulty_store import FaultyStore
from tiervdb.clock import ManualClock
from tiervdb.config import TierPolicy
from tiervdb.database import ingest as ingesting
from tiervdb.database.open import open_in
from tiervdb.engine import tier_load
from tiervdb.engine.open import Setting
from tiervdb.errors import InvalidInputError, StateError, StoreUnavailableError
from tiervdb.storage.counting import CountingStore
from tiervdb.storage.os_dir import OsDir

DIM = 4


def opened(path: Path, clock: ManualClock, policy: TierPolicy | None, **options: Any) -> tiervdb.Database:
    given = tiervdb.Options(background=False, tiering=policy, **options)
    return open_in(OsDir(path, sync=False), Setting(options=given), clock, random.Random(1), read_only=False)


def made(db: tiervdb.Database) -> tiervdb.Collection:
    return db.create_collection("words", dim=DIM, metric="l2", id_type="int64", exist_ok=True)


def put(words: tiervdb.Collection, first: int, count: int) -> None:
    """Row n lies near (n, 0, 0, 0)."""
    vectors = np.zeros((count, DIM), np.float32)
    vectors[:, 0] = np.arange(first, first + count)
    words.upsert(ids=range(first, first + count), vectors=vectors)


def at(number: int) -> np.ndarray:
    return np.array([number, 0, 0, 0], np.float32)


def cold_rows(db: tiervdb.Database) -> int:
    return db.stats().collections[0].cold_rows


def cold_ids(db: tiervdb.Database) -> set[int]:
    sources = db._session.view().sources(db._session.view().schema("words"))
    return {i for s in sources if getattr(s, "segment", None) and s.segment.remote for i in s.ids().to_pylist()}


def test_old_rows_go_and_what_is_searched_comes_back(path: Path) -> None:
    clock = ManualClock()
    policy = TierPolicy(hot_max_rows=300, low_water=0.8, demote_after=10_000, promote_searches=5, half_life=100)
    with opened(path, clock, policy) as db:
        words = made(db)
        for n in range(4):
            put(words, 100 * n, 100)
            db.flush()
            clock.advance(10)
        [first, *_] = db.plan_tiers(policy)
        assert (first.collection, first.to, first.rows) == ("words", "cold", 100)
        assert "400 hot rows are above 300" in first.reason
        db.maintain()
        assert cold_ids(db) == set(range(160)), "down to 240 hot rows, the oldest first"
        words.delete(ids=range(250, 400))
        db.flush()
        for _ in range(10):
            assert words.search(at(3), k=2).ids.tolist()[0] == 3
        db.maintain()
        assert cold_rows(db) == 160, "what was demoted rests"
        clock.advance(100)
        for _ in range(5):
            words.search(at(3), k=2)
        assert db.plan_tiers(policy) == (), "no room: 90 hot rows and these 160 are more than 240"
        db.maintain()
        clock.advance(20_000)
        db.maintain()
        assert cold_rows(db) == len(words) == 250, "all are old by now, and no search was of late"


def test_a_segment_that_is_searched_often_comes_back_if_there_is_room(path: Path) -> None:
    clock = ManualClock()
    policy = TierPolicy(hot_max_rows=1_000, promote_searches=5, half_life=1_000)
    with opened(path, clock, policy) as db:
        words = made(db)
        put(words, 0, 100)
        db.demote("words")
        put(words, 500, 100)
        clock.advance(1_000)
        words.search(np.stack([at(3), at(4), at(599), at(598), at(597)]), k=2)
        db.maintain()
        assert cold_rows(db) == 100, "two searches found rows of it"
        words.search(np.stack([at(n) for n in range(10)]), k=2)
        [move] = db.plan_tiers(policy)
        assert (move.to, move.rows) == ("hot", 100)
        assert "12.0 searches" in move.reason
        db.maintain()
        assert cold_rows(db) == 0
    with opened(path, clock, None) as db:
        assert db.plan_tiers(policy) == ()


def test_a_hundred_rounds_across_the_limit_move_no_row_more_than_twice(path: Path) -> None:
    clock = ManualClock()
    policy = TierPolicy(hot_max_rows=200, promote_searches=3, half_life=3_600)
    times: Counter[int] = Counter()
    with opened(path, clock, policy) as db:
        words = made(db)
        before: set[int] = set()
        for n in range(100):
            put(words, 30 * n, 30)
            db.flush()
            words.search(np.stack([at(10), at(30 * n)]), k=3)
            db.maintain()
            if n % 2:
                words.delete(ids=range(30 * n, 30 * n + 20))
            clock.advance(30)
            now = cold_ids(db)
            times.update(now ^ before)
            before = now
            stats = db.stats().collections[0]
            assert stats.hot_rows <= 200
        assert stats.cold_segments < 12, "few, by merging"
    assert len(times) > 1_500
    assert max(times.values()) <= 2


def test_without_a_policy_nothing_moves(path: Path) -> None:
    with opened(path, ManualClock(), None) as db:
        put(made(db), 0, 500)
        db.flush()
        db.maintain()
        assert cold_rows(db) == 0
        assert [m.rows for m in db.plan_tiers(TierPolicy(hot_max_rows=100))] == [420]
        with pytest.raises(InvalidInputError, match="TierPolicy"):
            db.plan_tiers({"hot_max_rows": 1})  # type: ignore[arg-type]


def test_a_reader_can_plan_too(path: Path) -> None:
    clock = ManualClock()
    with opened(path, clock, None) as db:
        put(made(db), 0, 500)
        db.flush()
    with tiervdb.open(path, read_only=True) as reader:
        assert [m.rows for m in reader.plan_tiers(TierPolicy(hot_max_rows=100))] == [420]


def test_a_policy_is_given_at_each_opening_and_runs_in_the_background(path: Path) -> None:
    with tiervdb.open(path, tiering=TierPolicy(hot_max_rows=0), options=tiervdb.Options(background=False)) as db:
        put(made(db), 0, 50)
        db.flush()
        db.maintain()
        assert cold_rows(db) == 50


# -- loads


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> pa.Table:
    """1,000 rows, in commits of 100; 300 make a cold segment."""
    monkeypatch.setattr(ingesting, "COMMIT_ROWS", 100)
    monkeypatch.setattr(tier_load, "LOAD_ROWS", 300)
    x = np.random.default_rng(1).normal(size=(1_000, DIM)).astype(np.float32)
    return pa.table({"id": np.arange(1_000), "vector": pa.FixedSizeListArray.from_arrays(pa.array(x.reshape(-1)), DIM)})


def sources(table: pa.Table, folder: Path) -> Iterator[tuple[Any, dict[str, Any]]]:
    x = np.stack(table["vector"].to_numpy())
    pq.write_table(table, folder / "words.parquet", row_group_size=330)
    np.save(folder / "words.npy", x)
    with pa.ipc.new_file(folder / "words.arrow", table.schema) as file:
        file.write_table(table, max_chunksize=170)
    yield folder / "words.parquet", {"vector": "vector"}
    yield folder / "words.arrow", {"vector": "vector"}
    yield np.load(folder / "words.npy", mmap_mode="r"), {}
    yield table.to_reader(), {"vector": "vector"}


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("background", [False, True])
def test_a_load_goes_to_the_cold_tier_as_it_runs(
    path: Path, tmp_path: Path, table: pa.Table, number: int, background: bool
) -> None:
    source, options = list(sources(table, tmp_path))[number]
    with tiervdb.open(path, options=tiervdb.Options(background=background)) as db:
        words = made(db)
        put(words, 2_000, 10)
        most = 0

        def look(_done: int, _total: int | None) -> None:
            nonlocal most
            stats = db.stats().collections[0]
            most = max(most, stats.hot_rows + stats.memory_rows)

        result = words.ingest(source, tier="cold", progress=look, **options)
        stats = db.stats().collections[0]
        assert (result.rows, len(words), stats.cold_rows, stats.hot_rows) == (1_000, 1_010, 1_000, 10)
        assert most <= 10 + 3 * 300, "two parts at most, and what is committed while one moves"
        assert stats.graphs == 0
        got = words.scan(where="id < 1000", vectors=True).read_all().sort_by("id")
        assert got["vector"].to_pylist() == table["vector"].to_pylist()
        assert db._session.shard("look inside").core.loading == {}


def test_a_load_that_stopped_goes_on_and_demotes_what_it_left(path: Path, table: pa.Table) -> None:
    class Stop(Exception):
        pass

    def stop(done: int, _total: int | None) -> None:
        if done == 500:
            raise Stop

    with tiervdb.open(path, options=tiervdb.Options(background=False)) as db:
        with pytest.raises(Stop):
            made(db).ingest(table, vector="vector", tier="cold", resume="job-7", progress=stop)
        stats = db.stats().collections[0]
        assert (stats.rows, stats.cold_rows) == (500, 300)
    with tiervdb.open(path, options=tiervdb.Options(background=False)) as db:
        words = made(db)
        result = words.ingest(table, vector="vector", tier="cold", resume="job-7")
        assert (result.skipped, result.rows, len(words), cold_rows(db)) == (500, 500, 1_000, 1_000)
        put(words, 5_000, 20)
        again = words.ingest(table, vector="vector", tier="cold", resume="job-7")
        assert (again.skipped, again.rows, len(words)) == (1_000, 0, 1_020)
        assert cold_rows(db) == 1_000, "what was written since is not part of it"


LOADER = """
import sys, tiervdb
from tiervdb.database import ingest
from tiervdb.engine import tier_load
ingest.COMMIT_ROWS, tier_load.LOAD_ROWS = 20, 100
with tiervdb.open(sys.argv[1]) as db:
    words = db.create_collection("words", dim=4, metric="l2", id_type="int64")
    words.ingest(sys.argv[2], vector="vector", tier="cold", resume="load", progress=lambda n, _: print(n, flush=True))
"""


def test_a_load_goes_on_after_kill_9(path: Path, tmp_path: Path, table: pa.Table) -> None:
    pq.write_table(table, tmp_path / "words.parquet")
    command = [sys.executable, "-c", LOADER, path, tmp_path / "words.parquet"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        acknowledged = [int(child.stdout.readline()) for _ in range(17)]
        child.kill()
    with tiervdb.open(path, options=tiervdb.Options(background=False)) as db:
        words = db["words"]
        before = len(words)
        assert before >= acknowledged[-1] == 340
        result = words.ingest(tmp_path / "words.parquet", vector="vector", tier="cold", resume="load")
        assert (result.skipped, result.rows) == (before, 1_000 - before)
        assert (len(words), cold_rows(db)) == (1_000, 1_000)
        assert sorted(words.scan().read_all()["id"].to_pylist()) == list(range(1_000))


@pytest.mark.parametrize("background", [False, True])
def test_a_load_without_its_store_says_so_and_loses_nothing(path: Path, table: pa.Table, background: bool) -> None:
    with tiervdb.open(path, options=tiervdb.Options(background=background)) as db:
        words = made(db)
        store = db._session.shard("look inside").core.env.cold.store
        assert isinstance(store, CountingStore)
        store.inner = faulty = FaultyStore(store.inner)

        def away(done: int, _total: int | None) -> None:
            faulty.away = done >= 200

        with pytest.raises(StoreUnavailableError):
            words.ingest(table, vector="vector", tier="cold", resume="load", progress=away)
        assert len(words) >= 300
        with pytest.raises(StoreUnavailableError):
            words.ingest(table, vector="vector", tier="cold", resume="load")
        faulty.away = False
        words.ingest(table, vector="vector", tier="cold", resume="load")
        assert (len(words), cold_rows(db)) == (1_000, 1_000)


def test_two_loads_of_one_collection_at_a_time_are_refused(path: Path, table: pa.Table) -> None:
    with tiervdb.open(path, options=tiervdb.Options(background=False)) as db:
        words = made(db)

        def second(_done: int, _total: int | None) -> None:
            with pytest.raises(StateError, match="loaded to the cold tier already"):
                words.ingest(table, vector="vector", tier="cold")

        words.ingest(table[:100], vector="vector", tier="cold", progress=second)
        assert cold_rows(db) == 100
