"""What changed since an earlier state, and bringing it back: against brute force, over random histories."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiervdb
from tiervdb.errors import CollectionNotFoundError, InvalidInputError, ReadOnlyError, SchemaError

OPTIONS = tiervdb.Options(background=False, small_floats=200, flush_floats=10**6)
State = dict[int, tuple[tuple[float, ...], Any]]


@pytest.fixture
def db(tmp_path: Path) -> Iterator[tiervdb.Database]:
    with tiervdb.open(tmp_path / "db", options=OPTIONS) as db:
        db.create_collection("words", dim=4, id_type="int64", columns={"rank": "int64", "tags": "list<string>"})
        yield db


def put(db: tiervdb.Database, ids: list[int], chance: random.Random) -> None:
    vectors = np.array([[chance.uniform(-1, 1) for _ in range(4)] for _ in ids], np.float32)
    columns = {"rank": [chance.choice([None, 1, 2]) for _ in ids], "tags": [chance.choice([[], ["a"]]) for _ in ids]}
    db["words"].upsert(ids=ids, vectors=vectors, columns=columns)


def state(db: tiervdb.Database) -> State:
    rows = db["words"].scan(vectors=True).read_all().to_pylist()
    return {row["id"]: (tuple(row["vector"]), (row["rank"], tuple(row["tags"]))) for row in rows}


def expected(new: State, old: State) -> dict[int, str]:
    found = {i: "added" for i in new if i not in old}
    found |= {i: "removed" for i in old if i not in new}
    return found | {i: "changed" for i in new if i in old and new[i] != old[i]}


@pytest.mark.parametrize("seed", range(8))
def test_diff_and_recover_over_random_histories(db: tiervdb.Database, seed: int) -> None:
    chance = random.Random(seed)
    put(db, list(range(200)), chance)
    moves = [db.flush, db.maintain, lambda: db.demote("words", 0.5), lambda: db.promote("words", 0.5)]
    for number in range(4):
        for _ in range(3):
            put(db, list({chance.randrange(260) for _ in range(20)}), chance)
            db["words"].delete(ids=[chance.randrange(260) for _ in range(10)])
            chance.choice(moves)()
        db.snapshot(f"s{number}")
    for number in range(4):
        with db.at(f"s{number}") as past:
            table = db.diff("words", past)
            assert dict(zip(table["id"].to_pylist(), table["change"].to_pylist(), strict=True)) == expected(
                state(db), state(past)
            )
    with db.at("s1") as past:
        old, now = state(past), state(db)
        plan = db.recover("words", past, mode="all", dry_run=True)
        assert state(db) == now
        done = db.recover("words", past)
        assert (done.missing, done.changed) == (plan.missing, 0)
        assert state(db) == {**{i: row for i, row in old.items() if i not in now}, **now}
        assert done.commit is None or db.log().to_pylist()[-1]["note"].endswith(f"from commit {past.seq}")
        db.recover("words", past, mode="changed")
        assert state(db) == {**now, **old}
        assert db.recover("words", past, mode="all").rows == 0


def test_what_differs_is_named(db: tiervdb.Database) -> None:
    db["words"].upsert(ids=[1, 2], vectors=np.eye(4, dtype=np.float32)[:2], columns={"rank": [1, 2]})
    db.snapshot("before")
    db["words"].update(ids=[1], columns={"rank": 5})
    db["words"].upsert(ids=[2], vectors=np.ones((1, 4), np.float32), columns={"rank": [2], "tags": [["x"]]})
    rows = {row["id"]: row for row in db.diff("words", "before").to_pylist()}
    assert (rows[1]["vector_changed"], rows[1]["columns"]) == (False, ["rank"])
    assert (rows[2]["vector_changed"], rows[2]["columns"]) == (True, ["tags"])


def test_what_both_have_is_not_read(db: tiervdb.Database, tmp_path: Path) -> None:
    put(db, list(range(500)), random.Random(1))
    db.demote("words")
    db.snapshot("before")
    put(db, [7], random.Random(2))
    db["words"].delete(ids=[8])
    before = db.stats()
    (tmp_path / "db" / "cold").rename(tmp_path / "away")
    (tmp_path / "db" / "cold").mkdir()
    with pytest.raises(tiervdb.errors.TiervdbError):
        db.diff("words", "before")  # of row 7 both versions are compared, and one is cold
    db["words"].delete(ids=[7])
    assert db.diff("words", "before")["change"].to_pylist() == ["removed", "removed"]
    (tmp_path / "db" / "cold").rmdir()
    (tmp_path / "away").rename(tmp_path / "db" / "cold")
    assert before is not None


def test_only_some(db: tiervdb.Database) -> None:
    put(db, list(range(50)), random.Random(3))
    db.snapshot("before")
    db["words"].delete(where="true")
    done = db.recover("words", "before", where="id < ? and rank = 1", params=[20])
    assert done.commit is not None
    assert done.commit.upserted == done.rows == len(db["words"]) > 0
    assert db["words"].count("id < 20 and rank = 1") == done.rows


def test_a_dropped_collection_comes_back(db: tiervdb.Database) -> None:
    put(db, list(range(300)), random.Random(4))
    db.flush()
    db.maintain()
    expected_state = state(db)
    db.snapshot("before")
    db.drop_collection("words")
    plan = db.recover("words", "before", dry_run=True)
    assert (plan.creates, plan.missing) == (True, 300)
    assert "words" not in db
    done = db.recover("words", "before")
    assert done.commit is not None
    assert db.seq == done.commit.seq
    assert state(db) == expected_state
    assert [(c.name, c.type) for c in db["words"].schema.columns] == [("rank", "int64"), ("tags", "list<string>")]
    db.drop_collection("words")
    db.create_collection("words", dim=3, id_type="int64")
    with pytest.raises(SchemaError, match="made anew since, with dim 3"):
        db.recover("words", "before")


def test_columns_that_are_gone(db: tiervdb.Database) -> None:
    put(db, list(range(50)), random.Random(5))
    db.snapshot("before")
    db["words"].delete(where="true")
    db["words"].drop_column("tags")
    with pytest.raises(SchemaError, match="tags of 'words' was dropped"):
        db.recover("words", "before")
    assert db.recover("words", "before", leave_out=["tags"]).missing == 50
    db["words"].add_column("tags", "list<string>")


def test_bad_input(db: tiervdb.Database) -> None:
    db.snapshot("before")
    with pytest.raises(InvalidInputError, match="mode='some'"):
        db.recover("words", "before", mode="some")  # type: ignore[arg-type]
    with pytest.raises(CollectionNotFoundError):
        db.recover("other", "before")
    with pytest.raises(CollectionNotFoundError):
        db.diff("other", "before")
    with db.at("before") as past, pytest.raises(ReadOnlyError):
        past.recover("words", past)


def test_a_large_one_is_one_commit(db: tiervdb.Database) -> None:
    ids = np.arange(100_000)
    vectors = np.random.default_rng(0).normal(size=(100_000, 4)).astype(np.float32)
    db["words"].upsert(ids=ids, vectors=vectors, columns={"rank": ids})
    db.flush()
    db.snapshot("before")
    db["words"].delete(where="true")
    seq = db.seq
    assert db.recover("words", "before").missing == 100_000
    assert (db.seq, len(db["words"])) == (seq + 1, 100_000)
