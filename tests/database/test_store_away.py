"""A cold store that is away fails only what needs it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import tiervdb
from tests.database.conftest import COLUMNS, DIM, OPTIONS, Words
from tiervdb.errors import StoreUnavailableError


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def db(path: Path, store: Path, data: Words) -> Iterator[tiervdb.Database]:
    """Half of its rows are in the store."""
    with tiervdb.open(path, options=OPTIONS, cold=store, cache_bytes=0) as db:
        collection = db.create_collection("words", dim=DIM, columns={**COLUMNS, "text": "string"}, stored=["text"])
        data.upsert_into(collection)
        db.demote("words", 0.5)
        db.flush()
        store.rename(store.with_name("elsewhere"))
        yield db
    if not store.exists():
        store.with_name("elsewhere").rename(store)


@pytest.fixture
def words(db: tiervdb.Database) -> tiervdb.Collection:
    return db["words"]


def cold_and_hot(words: tiervdb.Collection) -> tuple[list[str], list[str]]:
    """Ids whose vectors can be read now are hot."""
    ids = words.scan(columns=[]).read_all()["id"].to_pylist()
    return ids[:150], ids[150:]


def test_a_search_raises_or_says_what_it_skipped(words: tiervdb.Collection, data: Words) -> None:
    _, hot = cold_and_hot(words)
    for query in (data.vectors[0], data.vectors[:3]):
        with pytest.raises(StoreUnavailableError, match="store"):
            words.search(query, k=5)
        hits = words.search(query, k=5, on_unavailable="skip")
        assert set(hits.table["id"].to_pylist()) <= set(hot)
        assert len(hits) == 5 * (query.size // DIM)
        (skipped,) = hits.stats.skipped
        assert "150 rows" in skipped


def test_what_needs_no_store_goes_on(words: tiervdb.Collection, data: Words) -> None:
    cold, hot = cold_and_hot(words)
    assert words.count("rank < 10") == 10
    assert words.get([cold[0], hot[0]], columns=["rank", "tags"]).num_rows == 2
    assert words.get(hot[0], vectors=True).num_rows == 1
    assert words.search(data.vectors[0], k=3, where="id = ?", params=[hot[0]]).ids.tolist() == [hot[0]]
    assert words.upsert(ids=["new", cold[1]], vectors=np.ones((2, DIM))).upserted == 2
    assert words.delete(ids=[cold[0]]).deleted == 1
    assert words.delete(where="rank < 10").deleted > 0
    assert words.update(columns={"rank": 1}, ids=[hot[0]]).upserted == 1


def test_what_needs_the_store_fails_whole(words: tiervdb.Collection, db: tiervdb.Database, store: Path) -> None:
    cold, _ = cold_and_hot(words)
    seq = db.seq
    for call in (
        lambda: words.get(cold[:1], vectors=True),
        lambda: words.get(cold[:1]),  # the stored column
        lambda: words.scan(vectors=True).read_all(),
        lambda: words.update(columns={"rank": 1}, ids=cold[:1]),
        lambda: db.promote("words"),
        lambda: db.demote("words", 1.0),
    ):
        with pytest.raises(StoreUnavailableError):
            call()
    assert (db.seq, len(words)) == (seq, 300)
    store.with_name("elsewhere").rename(store)
    assert words.update(columns={"rank": 1}, ids=cold[:1]).upserted == 1
    assert db.promote("words").rows > 0
    assert len(words) == 300


def test_a_database_opens_without_its_store(db: tiervdb.Database, path: Path) -> None:
    db.close()
    with tiervdb.open(path, options=OPTIONS) as again:
        assert len(again["words"]) == 300
        again["words"].upsert(ids=["new"], vectors=np.ones((1, DIM)))
    with tiervdb.open(path, read_only=True) as reader:
        assert len(reader["words"]) == 301
