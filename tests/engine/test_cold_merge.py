"""Cold segments are rewritten in the background: few and large, without dead rows, and never half."""

from __future__ import annotations

import gc as python_gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.workload import rows, two_collections
from tests.model.bench import Bench
from tests.model.conftest import dead_processes_stay_quiet
from tests.support.faulty_store import FaultyStore
from tiervdb.engine import cold_merge
from tiervdb.errors import FencedError, StoreUnavailableError
from tiervdb.format import documents, paths
from tiervdb.format.documents import EpochDocument, Owner
from tiervdb.segment.concat import LiveRows
from tiervdb.storage.counting import CountingStore
from tiervdb.types import Rows, Vectors

__all__ = ["dead_processes_stay_quiet"]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Four cold segments of the words, some rows of which died."""
    made = Bench(tmp_path / "bench")
    made.start()
    two_collections(made)
    for n in range(4):
        made.upsert("words", rows(range(10 * n, 10 * n + 10), n))
        made.db.demote("words")
    made.delete("words", [3, 13, 14])
    made.upsert("words", rows([5, 25], 7))
    made.db.flush()
    yield made
    made.verify()
    assert made.check(made.local) == []
    made.stop()


def cold_ids(bench: Bench) -> set[str]:
    return {s.id for s in bench.shard.manifest().segments if s.tier == "cold"}


def objects(bench: Bench) -> set[str]:
    return {name for name in bench.local.walk("cold") if name.endswith(".parquet")}


def test_four_become_one_and_the_old_objects_go(bench: Bench) -> None:
    before = objects(bench)
    bench.db.maintain()
    [entry] = [s for s in bench.shard.manifest().segments if s.tier == "cold"]
    assert (entry.rows, entry.dead) == (35, 0)
    python_gc.collect()  # no view reads the old ones any more
    bench.db.maintain()
    assert len(objects(bench)) == 1
    assert not objects(bench) & before
    bench.reopen()


def test_each_live_vector_is_read_from_the_store_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists and codes are known, and the sketch is measured on the local file."""
    read: list[int] = []
    vectors = LiveRows.vectors

    def counted(self: LiveRows, wanted: Rows) -> Vectors:
        read.append(len(wanted))
        return vectors(self, wanted)

    monkeypatch.setattr(LiveRows, "vectors", counted)
    before = cold_ids(bench)
    while cold_merge.merge_cold_once(bench.shard.core):
        [new] = [s for s in bench.shard.manifest().segments if s.tier == "cold" and s.id not in before]
        assert read == [new.rows]
        read.clear()
        before = cold_ids(bench)
    assert len(before) == 1
    bench.db.maintain()


def test_objects_that_a_snapshot_needs_stay(bench: Bench) -> None:
    before = objects(bench)
    bench.snapshot("before")
    bench.db.maintain()
    python_gc.collect()
    bench.db.maintain()
    assert len(cold_ids(bench)) == 1
    assert objects(bench) > before
    bench.look_back("before")
    bench.drop_snapshot("before")
    python_gc.collect()
    bench.db.maintain()
    assert len(objects(bench)) == 1


def test_rows_that_die_meanwhile_are_dead_in_the_new_segment(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    real = cold_merge.demote_group

    def acting(*given: object) -> object:
        bench.delete("words", [0, 11])
        bench.db.flush()
        bench.upsert("words", rows([22, 33], 9))
        return real(*given)

    monkeypatch.setattr(cold_merge, "demote_group", acting)
    assert cold_merge.merge_cold_once(bench.shard.core)
    monkeypatch.undo()
    bench.verify()
    bench.db.maintain()


def test_a_merge_leaves_the_age_as_it_was(bench: Bench) -> None:
    newest = max(s.created_us for s in bench.shard.manifest().segments if s.tier == "cold")
    bench.clock.advance(5_000)
    bench.db.maintain()
    assert [s.created_us for s in bench.shard.manifest().segments if s.tier == "cold"] == [newest]


def test_a_segment_of_dead_rows_goes_without_a_successor(bench: Bench) -> None:
    bench.db.maintain()
    bench.delete("words", sorted(bench.model.collections["words"].rows))
    bench.db.flush()
    bench.db.maintain()
    assert cold_ids(bench) == set()


def test_what_is_demoted_under_another_codebook_is_coded_anew(bench: Bench) -> None:
    codebooks = {s.codebook for s in bench.shard.manifest().segments if s.tier == "cold"}
    bench.upsert("words", rows(range(100, 300), 1))
    bench.db.demote("words")
    assert len({s.codebook for s in bench.shard.manifest().segments if s.tier == "cold"} - codebooks) == 1
    bench.db.maintain()
    assert len({s.codebook for s in bench.shard.manifest().segments if s.tier == "cold"}) == 1
    assert len(bench.shard.manifest().codebooks) == 1


def test_without_the_store_nothing_changes_and_later_it_is_done(bench: Bench) -> None:
    counted = bench.shard.core.env.cold.store
    assert isinstance(counted, CountingStore)
    inner = counted.inner
    counted.inner = faulty = FaultyStore(inner)
    faulty.away = True
    before = cold_ids(bench)
    with pytest.raises(StoreUnavailableError):
        bench.db.maintain()
    assert cold_ids(bench) == before
    faulty.away = False
    bench.db.maintain()
    assert len(cold_ids(bench)) == 1


def test_a_writer_that_was_shut_out_merges_nothing(bench: Bench) -> None:
    cold = bench.shard.core.env.cold
    identity = bench.db._session.identity
    document = EpochDocument(
        database_id=identity.database_id,
        epoch=2,
        timeline=identity.timeline.id,
        writer="f" * 32,
        created_us=1,
        owner=Owner(pid=1, host="there"),
    )
    key = paths.EpochKey(identity.database_id, 2).key
    cold.store.put_if_absent(key, documents.encode(document))
    before = cold_ids(bench)
    with pytest.raises(FencedError):
        cold_merge.merge_cold_once(bench.shard.core)
    assert cold_ids(bench) == before
    bench.stop()
    cold.store.delete(key)
    bench.start()
    bench.db.maintain()
