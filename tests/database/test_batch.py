"""Several writes as one commit."""

from __future__ import annotations

import numpy as np
import pytest

import tiervdb
from tests.database.conftest import DIM
from tiervdb.errors import CollectionNotFoundError, InvalidInputError, SchemaError, StateError

X = np.ones((2, DIM), np.float32)


@pytest.fixture
def tags(db: tiervdb.Database) -> tiervdb.Collection:
    return db.create_collection("tags", dim=1, id_type="int64")


def test_several_collections_in_one_commit(
    db: tiervdb.Database, words: tiervdb.Collection, tags: tiervdb.Collection
) -> None:
    seq = db.seq
    with db.batch(note="nightly import") as b:
        b["words"].upsert(ids=["x", "y"], vectors=X)
        b["words"].delete(ids=["w1"])
        b["tags"].upsert(ids=[1], vectors=[[1]])
        assert "x" not in words
    assert b.commit is not None
    assert (b.commit.seq, b.commit.upserted, b.commit.deleted) == (seq + 1, 3, 1)
    assert (len(words), len(tags), db.seq) == (301, 1, seq + 1)
    log = db.log(since=seq + 1)
    assert set(log["note"].to_pylist()) == {"nightly import"}
    assert set(log["collection"].to_pylist()) == {"words", "tags"}


def test_calls_take_effect_in_their_order(db: tiervdb.Database, words: tiervdb.Collection) -> None:
    with db.batch() as b:
        b["words"].upsert(ids=["x"], vectors=X[:1], columns={"rank": 1})
        b["words"].upsert(ids=["x"], vectors=X[:1], columns={"rank": 2})
        b["words"].upsert(ids=["y"], vectors=X[:1])
        b["words"].delete(ids=["y", "w5"])
        b["words"].upsert(ids=["w5"], vectors=X[:1], columns={"rank": -5})
    assert words.get(["x", "y", "w5"])["rank"].to_pylist() == [2, -5]
    assert len(words) == 301


def test_old_rows_are_replaced_by_filter_in_one_commit(
    db: tiervdb.Database, placed: tiervdb.Collection, tags: tiervdb.Collection
) -> None:
    with db.batch() as b:
        b["words"].delete(where="rank < ?", params=[100])
        b["words"].upsert(ids=["w0", "new"], vectors=X, columns={"rank": 0})
        b["words"].update(columns={"pos": "late"}, where="rank >= 290")
        b["tags"].upsert(ids=[7], vectors=[[7]])
    assert b.commit is not None
    assert (len(placed), len(tags)) == (202, 1)
    assert placed.count("rank < 100") == 2
    assert placed.count("pos = 'late'") == 10


def test_a_filter_sees_the_state_before_the_batch(db: tiervdb.Database, words: tiervdb.Collection) -> None:
    with db.batch() as b:
        b["words"].upsert(ids=["x"], vectors=X[:1], columns={"rank": 5})
        b["words"].delete(where="rank = 5")
    assert "x" in words
    assert "w5" not in words


def test_an_error_in_the_block_writes_nothing(db: tiervdb.Database, words: tiervdb.Collection) -> None:
    seq = db.seq
    batch = db.batch()
    with pytest.raises(SchemaError), batch as b:  # noqa: PT012 - the block is what is tested
        b["words"].delete(where="true")
        b["words"].upsert(ids=["x"], vectors=X[:1], columns={"rnak": 1})
    assert batch.commit is None
    assert (db.seq, len(words)) == (seq, 300)


def test_what_a_batch_refuses(db: tiervdb.Database, words: tiervdb.Collection, tags: tiervdb.Collection) -> None:
    tags.upsert(ids=[1], vectors=[[1]])
    with pytest.raises(InvalidInputError, match="nothing was written"), db.batch():
        pass
    with pytest.raises(CollectionNotFoundError), db.batch() as b:
        b["wrods"]
    with pytest.raises(InvalidInputError, match="a batch of their own"), db.batch() as b:  # noqa: PT012 - as above
        b["words"].delete(where="true")
        b["tags"].delete(where="true")
    with pytest.raises(InvalidInputError, match="no rows"), db.batch() as b:
        b["words"].upsert([])
    with pytest.raises(StateError, match="has ended"):
        b["words"].delete(ids=["w1"])
    assert (len(words), len(tags)) == (300, 1)


def test_a_batch_is_atomic_over_reopening(db: tiervdb.Database, words: tiervdb.Collection) -> None:
    with db.batch() as b:
        for i in range(50):
            b["words"].upsert(ids=[f"x{i}"], vectors=X[:1])
    assert words.count("id like 'x%'") == 50
