"""Upsert, update and delete."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import tiervdb
from tests.database.conftest import DIM, Words
from tiervdb.errors import FilterError, InvalidInputError, SchemaError

X = np.arange(1, 2 * DIM + 1, dtype=np.float32).reshape(2, DIM)


def everything(collection: tiervdb.Collection) -> dict[Any, dict[str, Any]]:
    """All rows by id."""
    return {row["id"]: row for row in collection.scan(vectors=True).read_all().to_pylist()}


def test_a_commit_tells_what_it_did(empty: tiervdb.Collection) -> None:
    before = dt.datetime.now(dt.UTC)
    commit = empty.upsert(ids=["a", "b"], vectors=X, note="first")
    assert (commit.seq, commit.upserted, commit.deleted) == (2, 2, 0)
    assert commit.time.tzinfo is not None
    assert commit.time >= before - dt.timedelta(seconds=1)
    assert empty.upsert(ids=["a"], vectors=X[0]).upserted == 1
    assert empty.delete(ids=["a", "zzz"]).deleted == 1
    assert len(empty) == 1


def test_an_upsert_replaces_the_whole_row(placed: tiervdb.Collection) -> None:
    placed.upsert(ids=["w1"], vectors=X[0], columns={"pos": "verb"})
    assert placed.get(["w1"], vectors=True).to_pylist() == [
        {"id": "w1", "rank": None, "pos": "verb", "seen": None, "tags": None, "vector": X[0].tolist()}
    ]
    assert len(placed) == 300


def test_rows_of_every_library_are_upserted(empty: tiervdb.Collection) -> None:
    rows = {"id": ["a", "b"], "vector": X.tolist(), "rank": [1, None]}
    for data in (pd.DataFrame(rows), pl.DataFrame(rows), pa.table(rows), rows, pa.table(rows).to_pylist()):
        empty.delete(where="true")
        assert empty.upsert(data).upserted == 2
        assert empty.get(["b", "a"])["rank"].to_pylist() == [None, 1]
    renamed = pd.DataFrame({"w": ["c"], "e": [X[0]]})
    empty.upsert(renamed, id="w", vector="e")
    assert "c" in empty


def test_one_row_and_one_value(empty: tiervdb.Collection) -> None:
    empty.upsert(ids="a", vectors=X[0], columns={"rank": 1, "tags": ["x", "y"]})
    empty.upsert(ids=["b", "c"], vectors=X, columns={"rank": 5})
    assert empty.get(["a", "b", "c"])["rank"].to_pylist() == [1, 5, 5]
    assert empty.get("a")["tags"].to_pylist() == [["x", "y"]]


def test_the_caller_may_reuse_its_arrays(empty: tiervdb.Collection, db: tiervdb.Database) -> None:
    vectors, ranks = X.copy(), np.array([1, 2])
    empty.upsert(ids=["a", "b"], vectors=vectors, columns={"rank": ranks})
    vectors[:] = 0
    ranks[:] = 0
    for _ in range(2):
        got = empty.get(["a", "b"], vectors=True)
        assert got["rank"].to_pylist() == [1, 2]
        assert got["vector"].to_pylist() == X.tolist()
        db.flush()


UNUSABLE: list[tuple[dict[str, Any], type[Exception]]] = [
    ({"ids": ["a"], "vectors": X[:1, :3]}, InvalidInputError),
    ({"ids": ["a"], "vectors": X}, InvalidInputError),
    ({"ids": ["a", "a"], "vectors": X}, InvalidInputError),
    ({"ids": ["a", None], "vectors": X}, InvalidInputError),
    ({"ids": [1, 2], "vectors": X}, InvalidInputError),
    ({"ids": ["a"], "vectors": np.full((1, DIM), np.nan)}, InvalidInputError),
    ({"ids": ["a"], "vectors": np.full((1, DIM), -np.inf)}, InvalidInputError),
    ({"ids": ["a"], "vectors": np.zeros((1, DIM))}, InvalidInputError),
    ({"ids": ["a"], "vectors": np.full((1, DIM), 1e300)}, InvalidInputError),
    ({"ids": ["a"]}, InvalidInputError),
    ({"vectors": X}, InvalidInputError),
    ({"ids": [], "vectors": np.empty((0, DIM))}, InvalidInputError),
    ({"ids": ["a"], "vectors": X[:1], "id": "w"}, InvalidInputError),
    ({"ids": ["a"], "vectors": X[:1], "columns": {"rnak": 1}}, SchemaError),
    ({"ids": ["a"], "vectors": X[:1], "columns": {"rank": "1"}}, SchemaError),
    ({"ids": ["a"], "vectors": X[:1], "columns": {"rank": 1.5}}, SchemaError),
    ({"ids": ["a"], "vectors": X[:1], "columns": {"seen": dt.datetime(2026, 1, 1)}}, SchemaError),
    ({"ids": ["a"], "vectors": X[:1], "columns": {"tags": "x"}}, SchemaError),
    ({"ids": ["a"], "vectors": X[:1], "columns": {"rank": [1, 2]}}, InvalidInputError),
]


@pytest.mark.parametrize(("wrong", "error"), UNUSABLE)
def test_bad_rows_are_refused_before_anything_is_written(
    words: tiervdb.Collection, db: tiervdb.Database, wrong: dict[str, Any], error: type[Exception]
) -> None:
    seq, rows = db.seq, everything(words)
    with pytest.raises(error, match="upsert"):
        words.upsert(**wrong)
    assert (db.seq, everything(words)) == (seq, rows)


@pytest.mark.parametrize("rows", [[], {}, pd.DataFrame({"id": [], "vector": []}), 7, "words.parquet", [1], None])
def test_tables_without_rows_are_refused(words: tiervdb.Collection, rows: Any) -> None:
    with pytest.raises(InvalidInputError):
        words.upsert(rows)
    with pytest.raises(InvalidInputError, match="not both"):
        words.upsert([{"id": "a", "vector": X[0]}], ids=["a"])


def test_an_update_keeps_the_vector_and_the_rest(placed: tiervdb.Collection, data: Words) -> None:
    before = everything(placed)
    commit = placed.update(columns={"rank": [70, 50], "pos": "verb"}, ids=["w7", "w5"])
    assert commit.upserted == 2
    after = everything(placed)
    assert after.pop("w7") == before.pop("w7") | {"rank": 70, "pos": "verb"}
    assert after.pop("w5") == before.pop("w5") | {"rank": 50, "pos": "verb"}
    assert after == before
    assert placed.get("w7", vectors=True)["vector"].to_pylist() == [data.vectors[7].tolist()]


def test_an_update_of_ids_passes_missing_ones_over(placed: tiervdb.Collection) -> None:
    commit = placed.update(columns={"rank": [1000, 2000, 3000]}, ids=["w299", "nobody", "w0"])
    assert commit.upserted == 2
    assert placed.get(["w299", "w0"])["rank"].to_pylist() == [1000, 3000]
    assert len(placed) == 300
    seq = commit.seq
    assert placed.update(columns={"rank": 1}, ids=["nobody"]).upserted == 0
    assert placed.update(columns={"rank": 1}, where="rank = 123456").seq == seq


def test_an_update_by_filter(placed: tiervdb.Collection) -> None:
    commit = placed.update(columns={"tags": ["low"], "rank": None}, where="rank < ?", params=[10])
    assert commit.upserted == 10
    assert placed.count("rank is null") == 10
    assert placed.count("tags = ['low']") == 10
    assert placed.update(columns={"pos": "x"}, where="id = 'w1'").upserted == 1


def test_an_update_takes_row_dicts(words: tiervdb.Collection) -> None:
    words.update(columns=[{"rank": 9}, {"pos": "verb"}], ids=["w1", "w2"])
    got = words.get(["w1", "w2"])
    assert (got["rank"].to_pylist(), got["pos"].to_pylist()) == ([9, None], [None, "verb"])


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"columns": {"rank": 1}}, InvalidInputError),
        ({"columns": {"rank": 1}, "ids": ["w1"], "where": "true"}, InvalidInputError),
        ({"columns": {"rank": 1}, "ids": ["w1"], "params": [1]}, InvalidInputError),
        ({"columns": {"rank": 1}, "ids": []}, InvalidInputError),
        ({"columns": {"rank": 1}, "ids": ["w1", "w1"]}, InvalidInputError),
        ({"columns": {"rank": 1}, "ids": [1]}, InvalidInputError),
        ({"columns": {}, "ids": ["w1"]}, InvalidInputError),
        ({"columns": None, "where": "true"}, InvalidInputError),
        ({"columns": {"rank": [1, 2]}, "ids": ["w1"]}, InvalidInputError),
        ({"columns": {"rank": [1]}, "where": "rank < 5"}, InvalidInputError),
        ({"columns": [{"rank": 1}], "where": "rank < 5"}, InvalidInputError),
        ({"columns": {"rnak": 1}, "ids": ["w1"]}, SchemaError),
        ({"columns": {"rnak": 1}, "where": "rank < 5"}, SchemaError),
        ({"columns": {"vector": 1}, "ids": ["w1"]}, SchemaError),
        ({"columns": {"rank": "x"}, "where": "rank < 5"}, SchemaError),
        ({"columns": {"rank": 1}, "where": "rnak < 5"}, FilterError),
        ({"columns": {"rank": 1}, "where": "rank < ?"}, FilterError),
        ({"columns": {"rank": 1}, "where": 5}, FilterError),
        ({"columns": {"rank": 1}, "where": "rank < ?", "params": "5"}, FilterError),
    ],
)
def test_bad_updates_are_refused(words: tiervdb.Collection, db: tiervdb.Database, wrong: Any, error: Any) -> None:
    seq = db.seq
    with pytest.raises(error):
        words.update(**wrong)
    assert db.seq == seq


def test_deleting_by_id_and_by_filter(placed: tiervdb.Collection) -> None:
    assert placed.delete(ids=["w1", "w1", "nobody", "w2"]).deleted == 2
    assert placed.delete(ids="w3").deleted == 1
    assert placed.delete(where="rank >= ? and pos is null", params=[200]).deleted > 0
    assert placed.count("rank >= 200 and pos is null") == 0
    assert "w1" not in placed
    seq = placed.delete(where="true").seq
    assert len(placed) == 0
    assert placed.delete(where="true").seq == seq  # nothing matched, nothing was committed


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({}, InvalidInputError),
        ({"ids": ["w1"], "where": "true"}, InvalidInputError),
        ({"ids": []}, InvalidInputError),
        ({"ids": [1]}, InvalidInputError),
        ({"ids": [None]}, InvalidInputError),
        ({"where": ""}, FilterError),
        ({"where": "rank"}, FilterError),
        ({"where": "true; drop table words"}, FilterError),
        ({"where": "rank in (select 1)"}, FilterError),
        ({"where": "rank > (select count(*) from read_csv('/etc/passwd'))"}, FilterError),
        ({"where": "getenv('HOME') = 'x'"}, FilterError),
        ({"where": "random() < 0.5"}, FilterError),
        ({"params": [1], "where": "true"}, FilterError),
    ],
)
def test_bad_deletions_are_refused(words: tiervdb.Collection, wrong: Any, error: Any) -> None:
    with pytest.raises(error):
        words.delete(**wrong)
    assert len(words) == 300


def test_integer_ids(db: tiervdb.Database) -> None:
    numbers = db.create_collection("numbers", dim=1, id_type="int64", metric="l2")
    ids = [0, -1, 2**63 - 1, -(2**63)]
    numbers.upsert(ids=ids, vectors=[[0], [1], [2], [3]])
    for _ in range(2):
        assert numbers.get(ids[::-1])["id"].to_pylist() == ids[::-1]
        assert numbers.search([3.0], k=1).ids.tolist() == [-(2**63)]
        assert numbers.search([3.0], k=1).ids.dtype == np.int64
        assert 2**63 - 1 in numbers
        assert 5 not in numbers
        db.flush()
    for wrong in ("1", 2**63, 1.0, True):
        with pytest.raises(InvalidInputError):
            numbers.upsert(ids=[wrong], vectors=[[1]])


def test_odd_string_ids_are_different(db: tiervdb.Database) -> None:
    odd = ["", " ", "a", "A", "a\0b", "é", "e\u0301", "\U0001f451", "x" * 5000]
    texts = db.create_collection("texts", dim=1, metric="l2")
    texts.upsert(ids=odd, vectors=np.arange(len(odd)).reshape(-1, 1))
    for _ in range(2):
        assert texts.get(odd)["id"].to_pylist() == odd
        assert texts.get(odd, vectors=True)["vector"].to_pylist() == [[i] for i in range(len(odd))]
        db.demote("texts")


def test_every_type_comes_back_bit_for_bit(db: tiervdb.Database) -> None:
    types = ["bool", "float32", "float64", "string", "timestamp[us]", "timestamp[us, UTC]", "list<string>"]
    types += [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
    names = {f"c{i}": name for i, name in enumerate(types)}
    rows = db.create_collection("types", dim=2, id_type="int64", metric="l2", columns=names)
    extremes: dict[str, list[Any]] = {
        "bool": [True, False, None],
        "float32": [float(np.float32(0.1)), -0.0, None],
        "float64": [1e308, 5e-324, None],
        "string": ["", "\0\U0001f451", None],
        "timestamp[us]": [dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31, 23, 59, 59, 999999), None],
        "timestamp[us, UTC]": [dt.datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=dt.UTC), None, None],
        "list<string>": [[], ["", None, "x"], None],
    }
    for name in types[7:]:
        info = np.iinfo(name)
        extremes[name] = [int(info.min), int(info.max), None]
    given = {column: extremes[name] for column, name in names.items()}
    vectors = np.array([[0x80000000, 1], [0x5E000000, 0x00800000], [0x3DCCCCCD, 0xC2F6E979]], np.uint32)
    rows.upsert(ids=[1, 2, 3], vectors=vectors.view(np.float32), columns=given)
    for move in (db.flush, lambda: db.demote("types"), lambda: db.promote("types")):
        table = rows.get([1, 2, 3], vectors=True)
        assert {c: table[c].to_pylist() for c in given} == given
        flat = table["vector"].combine_chunks().flatten().to_numpy().view(np.uint32)
        assert flat.reshape(3, 2).tolist() == vectors.tolist()
        assert str(np.float32(table["c1"].to_pylist()[1])) == "-0.0"
        move()
