"""Log, status and stats; tiers."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import tiervdb
from tests.database.conftest import COUNT, DIM, Words
from tiervdb.errors import CollectionNotFoundError, InvalidInputError


def test_the_log_tells_what_was_committed_when(db: tiervdb.Database, words: tiervdb.Collection) -> None:
    words.delete(ids=["w1"], note="cleaning")
    words.update(columns={"pos": "x"}, where="rank < 3")
    log = db.log()
    assert log.column_names == ["timeline", "seq", "time", "collection", "operation", "upserted", "deleted", "note"]
    assert log["seq"].to_pylist() == [1, 2, 3, 4]
    assert log["operation"].to_pylist() == ["create collection", "upsert", "delete", "update"]
    assert log["upserted"].to_pylist() == [0, COUNT, 0, 2]
    assert log["deleted"].to_pylist() == [0, 0, 1, 0]
    assert log["note"].to_pylist() == [None, None, "cleaning", None]
    assert log.schema.field("time").type == pa.timestamp("us", "UTC")
    assert set(log["timeline"].to_pylist()) == {db.status().timeline}


def test_the_log_is_bounded_by_seq_time_and_collection(db: tiervdb.Database, words: tiervdb.Collection) -> None:
    other = db.create_collection("other", dim=1)
    commit = other.upsert(ids=["a"], vectors=[[1]])
    assert db.log(since=3)["seq"].to_pylist() == [3, 4]
    assert db.log(since=2, until=3)["seq"].to_pylist() == [2, 3]
    assert db.log(since=commit.time)["seq"].to_pylist() == [4]
    assert db.log(until=commit.time - dt.timedelta(microseconds=1))["seq"].to_pylist() == [1, 2, 3]
    assert db.log(since=commit.time.isoformat(), collection="other").num_rows == 1
    assert db.log(collection="words")["seq"].to_pylist() == [1, 2]
    db.drop_collection("other")
    assert "drop collection" in db.log(collection="other")["operation"].to_pylist()
    with pytest.raises(CollectionNotFoundError, match="did you mean 'words'"):
        db.log(collection="wrods")
    for wrong in ("2026-01-01", dt.datetime(2026, 1, 1), True, 1.5):
        with pytest.raises(InvalidInputError, match="log: since"):
            db.log(since=wrong)  # type: ignore[arg-type]


def test_status(db: tiervdb.Database, words: tiervdb.Collection) -> None:
    db.snapshot("a")
    status = db.status()
    assert status.path == str(db.path)
    assert (status.mode, status.protection, status.background) == ("read-write", "unprotected", None)
    assert (status.seq, status.snapshots, status.pins, status.collections) == (3, 1, 1, ("words",))
    assert status.time.utcoffset() == dt.timedelta(0)
    assert len(status.database_id) == len(status.timeline) == 32


def test_stats_count_rows_by_tier(db: tiervdb.Database, words: tiervdb.Collection) -> None:
    (in_memory,) = db.stats().collections
    assert (in_memory.rows, in_memory.memory_rows, in_memory.hot_rows, in_memory.cold_rows) == (COUNT, COUNT, 0, 0)
    db.flush()
    db.demote("words", 0.5)
    words.delete(where="rank < 10")
    words.upsert(ids=["x", "w299"], vectors=np.ones((2, DIM)))
    stats = db.stats()
    (c,) = stats.collections
    assert (c.name, c.dim, c.metric, c.id_type) == ("words", DIM, "cosine", "string")
    assert c.memory_rows == 2
    assert c.rows == c.memory_rows + c.hot_rows + c.cold_rows == 291 == stats.rows == len(words)
    assert c.dead_rows == 11
    assert (c.hot_segments, c.cold_segments, c.sketches) == (1, 1, 1)
    assert stats.cold_bytes == c.cold_bytes > 0
    assert stats.local_bytes == c.local_bytes > 0


def test_rows_move_between_the_tiers(db: tiervdb.Database, words: tiervdb.Collection, data: Words) -> None:
    done: list[tuple[int, int]] = []
    result = db.demote("words", 0.8, progress=lambda rows, total: done.append((rows, total)))
    assert result.rows == 240
    assert done[-1] == (240, 240)
    assert db.stats().collections[0].cold_rows == 240
    assert db.demote("words", 0.8).rows == 0
    assert db.promote("words", fraction=1.0).rows == 240
    assert db.stats().collections[0].cold_rows == 0
    assert words.search(data.vectors[9], k=1).ids.tolist() == ["w9"]


@pytest.mark.parametrize("fraction", [-0.1, 1.1, "half", None, True, float("nan")])
def test_fractions_are_parts_of_one(db: tiervdb.Database, words: tiervdb.Collection, fraction: Any) -> None:
    for move in (db.demote, db.promote):
        with pytest.raises(InvalidInputError, match="fraction="):
            move("words", fraction)
    with pytest.raises(CollectionNotFoundError):
        db.demote("wrods")


def test_warming(db: tiervdb.Database, words: tiervdb.Collection) -> None:
    db.create_collection("empty", dim=1)
    db.warm("empty")
    for move in (db.flush, lambda: db.demote("words")):
        db.warm("words")
        move()
    db.warm("words")
    with pytest.raises(CollectionNotFoundError):
        db.warm("wrods")
