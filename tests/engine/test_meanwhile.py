"""What another thread or process does between two steps of garbage collection, a move, a flush or an opening."""

from __future__ import annotations

import gc as python_gc
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import tiervdb
from tests.crash.workload import flushed, half_cold, rows, some_rows
from tests.model.bench import SMALL, Bench
from tests.model.conftest import dead_processes_stay_quiet
from tests.model.model import assert_same
from tests.support.faulty_dir import FaultyDir, io_error
from tiervdb.engine import gc, intents, tiering, time_travel, wal
from tiervdb.errors import CollectionNotFoundError, CopiedDatabaseError, FencedError, StorageError

__all__ = ["dead_processes_stay_quiet"]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "bench")
    made.directory = FaultyDir(tmp_path / "bench")
    made.start()
    yield made
    made.verify()
    made.stop()


class _ThenAct:
    """A lock, and what is done once when it was given back."""

    def __init__(self, lock: object) -> None:
        self._lock = lock
        self.todo: list[Callable[[], object]] = []

    def __enter__(self) -> None:
        self._lock.__enter__()

    def __exit__(self, *error: object) -> None:
        self._lock.__exit__(*error)
        if self.todo:
            self.todo.pop()()


def cold_objects(bench: Bench) -> list[str]:
    return [name for name in bench.local.walk("cold") if name.endswith(".parquet")]


def test_an_object_that_a_promotion_frees_during_a_collection_of_garbage_goes_later(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    half_cold(bench)
    bench.db.maintain()
    bench.db.demote("texts")  # leaves an intent, so that there is something to collect
    core, plan = bench.shard.core, gc.plan
    lock = _ThenAct(core.work)

    def planned(*args: object) -> object:
        monkeypatch.setattr(gc, "plan", plan)
        lock.todo.append(lambda: bench.db.promote("words"))
        return plan(*args)

    monkeypatch.setattr(core, "work", lock)
    monkeypatch.setattr(gc, "plan", planned)
    bench.db.maintain()
    assert not lock.todo
    bench.db.promote("texts")
    python_gc.collect()  # no view reads the cold segments any more
    bench.db.maintain()
    assert cold_objects(bench) == []
    assert intents.listed(bench.local) == []


def test_a_flush_after_one_that_failed_writes_what_came_later_too(bench: Bench) -> None:
    some_rows(bench)
    bench.directory.plan.fail(io_error(), "create", name_part="tmp")
    with pytest.raises(StorageError):
        bench.db.flush()
    bench.upsert("words", rows([70], 7))
    bench.db.flush()
    assert bench.shard.manifest().flushed_seq == bench.db.seq


def in_the_second_group(bench: Bench, monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]) -> None:
    monkeypatch.setattr(tiering, "COLD_ROWS", 1)  # a group for each segment
    move, seen = tiering.demote_group, []

    def acting(*args: object) -> object:
        seen.append(True)
        if len(seen) == 2:
            action()
        return move(*args)

    monkeypatch.setattr(tiering, "demote_group", acting)
    bench.db.demote("words")


def test_rows_that_all_die_during_a_demotion(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed(bench)
    bench.db.flush()

    def meanwhile() -> None:
        bench.delete("words", sorted(bench.model.collections["words"].rows))
        bench.db.flush()

    in_the_second_group(bench, monkeypatch, meanwhile)
    bench.verify()


def test_a_collection_that_is_dropped_during_its_demotion(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed(bench)
    bench.db.flush()

    def meanwhile() -> None:
        bench.drop("words")
        bench.db.flush()

    with pytest.raises(CollectionNotFoundError, match="dropped meanwhile"):
        in_the_second_group(bench, monkeypatch, meanwhile)
    bench.db.maintain()
    assert cold_objects(bench) == []


def test_a_log_file_that_goes_while_the_log_is_read(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed(bench)
    bench.stop()
    bench.start()
    bench.upsert("words", rows([70], 7))
    bench.db.flush()
    before, read = bench.db.log(), wal.read_file

    def collected(*args: object, **options: object) -> object:
        monkeypatch.setattr(wal, "read_file", read)
        bench.db.maintain()
        return read(*args, **options)

    monkeypatch.setattr(wal, "read_file", collected)
    assert bench.db.log().equals(before)


def test_a_reader_that_was_too_late_for_the_log_chooses_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The manifest is there for a snapshot, but the log after it has gone when the reader pins it."""
    flushed(bench)
    bench.db.flush()
    bench.snapshot("before")
    for change in (5, 6):  # each in a log file of its own
        bench.stop()
        bench.start()
        bench.upsert("words", rows(range(30), change))
    stretch = time_travel.Stretch
    chosen: list[time_travel.Stretch] = []

    def late(*args: object) -> object:
        found = stretch(*args)
        if not chosen:
            chosen.append(found)
            bench.upsert("words", rows([31], 6))
            bench.db.flush()
            bench.db.maintain()
        return found

    monkeypatch.setattr(time_travel, "Stretch", late)
    with bench.open(read_only=True) as reader:
        assert_same(reader, bench.model)
    assert chosen[0].last_seq < bench.db.seq


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts descriptors as Linux lists them")
def test_views_of_the_past_and_closed_databases_leave_no_file_open(tmp_path: Path) -> None:
    def read(db: tiervdb.Database, number: int) -> None:
        assert db["words"].get([number], vectors=True)["vector"].to_pylist() == [[number, 0.0]]

    with tiervdb.open(tmp_path / "db", options=SMALL) as db:
        words = db.create_collection("words", dim=2, metric="l2", id_type="int64")
        words.upsert(ids=range(20), vectors=[[n, 0.0] for n in range(20)])
        db.demote("words")
        read(db, 0)
        before = open_files()
        for n in range(1, 6):
            with db.at() as past:
                read(past, n)
        python_gc.collect()
        assert open_files() <= before
    for n, read_only in enumerate((False, True) * 3):
        with tiervdb.open(tmp_path / "db", options=SMALL, read_only=read_only) as db:
            read(db, 10 + n)
    del db, past
    python_gc.collect()
    assert open_files() < before


def test_a_copied_directory_is_not_dropped_with_the_objects_of_the_original(tmp_path: Path) -> None:
    with tiervdb.open(tmp_path / "db", cold=tmp_path / "bucket", options=SMALL) as db:
        db.create_collection("words", dim=2, metric="l2", id_type="int64").upsert(ids=[1], vectors=[[1.0, 0.0]])
        db.demote("words")
    shutil.copytree(tmp_path / "db", tmp_path / "copy")
    with pytest.raises(CopiedDatabaseError, match="original's"):
        tiervdb.drop(tmp_path / "copy")
    assert (tmp_path / "copy" / "tiervdb.json").exists()
    with tiervdb.open(tmp_path / "db", options=SMALL) as db:
        assert db["words"].search([1.0, 0.0], k=1, exact=True).ids == [1]


def test_a_directory_that_a_copy_took_over_is_not_dropped_with_the_objects_of_the_copy(tmp_path: Path) -> None:
    with tiervdb.open(tmp_path / "db", cold=tmp_path / "bucket", options=SMALL) as db:
        db.create_collection("words", dim=2, metric="l2", id_type="int64").upsert(ids=[1], vectors=[[1.0, 0.0]])
        db.demote("words")
    shutil.copytree(tmp_path / "db", tmp_path / "copy")
    with tiervdb.open(tmp_path / "copy", copied="take_over", options=SMALL) as copy:
        assert len(copy["words"]) == 1
    with pytest.raises(FencedError, match="taken over"):
        tiervdb.drop(tmp_path / "db")
    with tiervdb.open(tmp_path / "copy", options=SMALL) as copy:
        assert copy["words"].search([1.0, 0.0], k=1, exact=True).ids == [1]
    tiervdb.drop(tmp_path / "copy")


Work = Callable[[Bench], object]
REWRITES: dict[str, Work] = {
    "merge": lambda bench: bench.db.maintain(),
    "demote": lambda bench: bench.db.demote("words"),
    "promote": lambda bench: bench.db.promote("words"),
}


def two_dead_halves(bench: Bench) -> None:
    some_rows(bench)
    bench.db.flush()
    bench.db.demote("words", 0.5)
    bench.delete("words", [0, 1, 2, 6, 7, 8])
    bench.db.flush()


@pytest.mark.parametrize("what", REWRITES)
def test_a_column_that_is_not_flushed_yet_is_no_part_of_a_rewrite(
    bench: Bench, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_dead_halves(bench)
    monkeypatch.setattr(tiering.flush, "flush", lambda _: False)  # a move flushes first; this comes right after
    bench.add_column("words", "lang", "string")
    bench.update("words", [3, 9], {"lang": "en"})
    REWRITES[what](bench)
    bench.verify()
    bench.stop()
    bench.start()


@pytest.mark.parametrize("what", REWRITES)
def test_states_before_a_column_was_dropped_keep_it_through_a_rewrite(
    bench: Bench, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_dead_halves(bench)
    monkeypatch.setattr(tiering.flush, "flush", lambda _: False)
    before = bench.acked
    bench.drop_column("words", "rank")
    REWRITES[what](bench)
    bench.verify()
    bench.look_back(before)
