"""A database whose cold store does not do what it says: it works, or says what is wrong, and loses nothing."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest

import tiervdb
from tests.engine.test_cold_store import writer
from tests.support import bad_stores as bad
from tests.support.faulty_store import FaultyStore
from tiervdb.clock import SystemClock
from tiervdb.engine import open as engine
from tiervdb.engine import store_record
from tiervdb.errors import CorruptionError, FencedError, SingleWriterWarning, StorageError
from tiervdb.format import paths
from tiervdb.storage.directory_store import DirectoryStore
from tiervdb.storage.doctor import examine
from tiervdb.storage.object_store import ObjectStore
from tiervdb.storage.os_dir import OsDir

VECTORS = np.random.default_rng(1).random((50, 4), np.float32)
Kind = Callable[[ObjectStore], ObjectStore]


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(OsDir(tmp_path / "store"))


def opened(tmp_path: Path, store: DirectoryStore, kind: Kind = lambda inner: inner) -> tiervdb.Database:
    with patch.object(engine, "open_store", lambda *_, **__: kind(store)):
        return tiervdb.open(tmp_path / "db", cold=store.local.root, cache_bytes=0)


def filled(db: tiervdb.Database) -> None:
    db.create_collection("words", dim=4, id_type="int64").upsert(ids=np.arange(50), vectors=VECTORS)
    db.flush()


def rows(db: tiervdb.Database) -> np.ndarray:
    table = db["words"].get(list(range(50)), vectors=True)
    return np.array(table["vector"].to_pylist(), np.float32)


@pytest.mark.parametrize(
    "kind",
    [
        *(bad.LosesReplies, bad.ServerErrors, bad.ReadOnlyKey, bad.Truncates, bad.IgnoresRanges, bad.WrongRanges),
        *(bad.WrongBytes, bad.StaleLists, bad.KeepsDeleted, bad.RefusesDeletes),
    ],
)
def test_nothing_is_lost_on_a_bad_store(tmp_path: Path, store: DirectoryStore, kind: Kind) -> None:
    with opened(tmp_path, store, kind) as db:
        filled(db)
        if kind in {bad.StaleLists, bad.KeepsDeleted, bad.RefusesDeletes}:
            db.demote("words")
        else:
            with pytest.raises((CorruptionError, StorageError), match=r"/probe/"):
                db.demote("words")
            assert db.stats().cold_bytes == 0
        assert (rows(db) == VECTORS).all()
    with opened(tmp_path, store) as db:  # the store is mended
        assert (rows(db) == VECTORS).all()
        db.demote("words")
        assert db.stats().collections[0].cold_rows == 50
        assert (rows(db) == VECTORS).all()


@pytest.mark.parametrize("kind", [bad.Truncates, bad.IgnoresRanges, bad.WrongRanges, bad.WrongBytes])
def test_a_store_that_turns_bad_gives_errors_and_no_rows(tmp_path: Path, store: DirectoryStore, kind: Kind) -> None:
    with opened(tmp_path, store) as db:
        filled(db)
        db.demote("words")
    with opened(tmp_path, store, kind) as db:
        with pytest.raises(CorruptionError, match="parquet"):
            rows(db)
        with pytest.raises(CorruptionError, match="parquet"):
            db["words"].search(VECTORS[3], k=5, exact=True)
    with opened(tmp_path, store) as db:
        assert (rows(db) == VECTORS).all()


def test_single_writer_mode_is_said_once_and_remembered(tmp_path: Path, store: DirectoryStore) -> None:
    with opened(tmp_path, store, bad.IgnoresConditions) as db:
        filled(db)
        with pytest.warns(SingleWriterWarning):
            db.demote("words", 0.5)
        db.demote("words")
        assert db.status().single_writer is True
        assert (rows(db) == VECTORS).all()
    found = store_record.read(store)
    assert found is not None
    assert (found.by, found.conditional) == ("first write", False)
    with opened(tmp_path, store) as db:  # trusted, though the store is better now
        assert db.status().single_writer is True
        db.promote("words")
        with pytest.warns(SingleWriterWarning):
            db.demote("words")


def test_the_probe_runs_once(tmp_path: Path, store: DirectoryStore) -> None:
    for _ in range(2):
        counted = FaultyStore(store)
        with opened(tmp_path, store, lambda _, counted=counted: counted) as db:
            if "words" not in db:
                filled(db)
            db.demote("words", 0.5)
            assert db.status().single_writer is False
        probes = counted.plan.calls["put_if_absent"]
    assert probes == 1  # the epoch alone
    assert not [s for s in store.list("") if "/probe/" in s.key]


def test_memory_is_single_writer_from_the_start(tmp_path: Path) -> None:
    with pytest.warns(SingleWriterWarning, match="no conditional writes"):
        db = tiervdb.open(tmp_path / "db", cold="memory://faults/single")
    with db:
        filled(db)
        db.demote("words")
        assert db.status().single_writer is True
        assert (rows(db) == VECTORS).all()


def test_an_overwritten_epoch_stops_the_writer(store: DirectoryStore) -> None:
    """Two writers at the same moment, where the store lets both create: the one that was overwritten is stopped."""
    careless = FaultyStore(bad.IgnoresConditions(store))
    first, second = writer(careless, 1), writer(careless, 2)
    with pytest.warns(SingleWriterWarning):
        assert first.epoch() == 1
    key = paths.EpochKey(writer(careless)._database_id, 1).key
    document = store.get(key)
    store.delete(key)
    with pytest.warns(SingleWriterWarning):
        assert second.epoch() == 1  # it looked before the first one's document was there
    assert store.get(key) != document
    with pytest.raises(FencedError, match="epoch 1"):
        first.epoch()
    assert second.epoch() == 1


def test_a_stale_list_does_not_overwrite_an_epoch(store: DirectoryStore) -> None:
    careless = bad.IgnoresConditions(store)
    with pytest.warns(SingleWriterWarning):
        assert writer(FaultyStore(careless), 1).epoch() == 1
    stale = bad.StaleLists(careless)
    stale._old.clear()
    with pytest.warns(SingleWriterWarning):
        assert writer(FaultyStore(stale), 2).epoch() == 2


def test_a_damaged_record_is_said_and_made_again(tmp_path: Path, store: DirectoryStore) -> None:
    store.put(paths.STORE, b"{}")
    with opened(tmp_path, store) as db:
        filled(db)
        with pytest.raises(CorruptionError, match="doctor"):
            db.demote("words")
        assert db.status().single_writer is None
        report = examine(store, SystemClock(), random.Random(1), lambda: 0.0)
        store_record.write(store, report, SystemClock())
        db.demote("words")
        assert (rows(db) == VECTORS).all()
