from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path

import pytest

from tests.crash.workload import half_cold
from tests.model.bench import SMALL, Bench
from tests.model.conftest import dead_processes_stay_quiet, one_inode
from tests.support.crash_dir import CrashDir, CrashPoint
from tiervdb.engine import drop
from tiervdb.engine.open import Setting, open_shard
from tiervdb.errors import DatabaseLockedError, NotADatabaseError
from tiervdb.storage.directory_store import DirectoryStore
from tiervdb.storage.os_dir import OsDir

__all__ = ["dead_processes_stay_quiet", "one_inode"]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path / "bench")
    made.start()
    half_cold(made)
    return made


def cold_of(bench: Bench) -> DirectoryStore:
    return DirectoryStore(bench.local.sub("cold"), create=False)


def test_an_open_database_is_not_dropped(bench: Bench) -> None:
    with pytest.raises(DatabaseLockedError, match="open in another process"):
        drop.drop(bench.local, cold_of(bench), bench.clock, bench.rng)
    bench.verify()
    bench.stop()
    drop.drop(bench.local, cold_of(bench), bench.clock, bench.rng)
    assert list(bench.local.walk("")) == []
    with pytest.raises(NotADatabaseError):
        drop.plan(bench.local, cold_of(bench))


def test_after_a_crash_it_is_whole_or_no_database(bench: Bench, tmp_path: Path) -> None:
    bench.stop()
    prepared = bench.prepared()
    outcomes = set()
    for step in range(1, 30):
        copy = Bench(tmp_path / f"crash-{step}", prepared=prepared)
        copy.directory.crash_disk.crash_at = step
        with suppress(CrashPoint):
            drop.drop(copy.local, cold_of(copy), copy.clock, copy.rng)
        copy.directory.drop_unsynced(step if step % 2 else None)
        copy.directory = CrashDir(copy.folder)
        if copy.local.exists("tiervdb.json"):
            outcomes.add("whole")
            copy.start()
            copy.recovered()
            copy.stop()
        else:
            outcomes.add("none")
            with pytest.raises(NotADatabaseError):
                open_shard(copy.local, Setting(create=False, options=SMALL), copy.clock, random.Random(1))
        copy.end()
    assert outcomes == {"whole", "none"}


def test_objects_that_a_clone_borrows_stay(tmp_path: Path) -> None:
    import tiervdb

    options = SMALL
    store = DirectoryStore(OsDir(tmp_path / "store", sync=False))
    with tiervdb.open(tmp_path / "db", cold=tmp_path / "store", options=options) as db:
        words = db.create_collection("words", dim=1, metric="l2", id_type="int64")
        words.upsert(ids=[1, 2], vectors=[[1.0], [2.0]])
        db.demote("words")
        db.clone(tmp_path / "copy")
        words.upsert(ids=[3], vectors=[[3.0]])
        db.demote("words")
    planned = drop.plan(OsDir(tmp_path / "db"), store)
    assert (len(planned.kept), len(planned.objects)) == (3, 3)  # rows, sketch and codebook; rows, sketch and the epoch
    tiervdb.drop(tmp_path / "db")
    with tiervdb.open(tmp_path / "copy", options=options) as copy:
        assert copy["words"].search([1.0], k=5, exact=True).ids.tolist() == [1, 2]
    tiervdb.drop(tmp_path / "copy")
    assert [found.key for found in store.list("") if "/pins/" in found.key] == []
