"""Creating, changing and dropping collections."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import tiervdb
from tests.database.conftest import OPTIONS
from tiervdb.errors import (
    AlreadyExistsError,
    CollectionNotFoundError,
    InvalidInputError,
    SchemaError,
)

ROWS = {
    "word": ["king", "queen"],
    "embedding": [[1.0, 2.0], [3.0, 4.0]],
    "rank": [1, None],
}


def test_a_collection_is_there_once_it_is_created(db: tiervdb.Database) -> None:
    words = db.create_collection("words", dim=3, metric="l2", id_type="int64", columns={"rank": "int64"}, stored=())
    assert db.collections() == ["words"]
    assert "words" in db
    assert "other" not in db
    assert 7 not in db
    assert (words.name, len(words), words.schema.dim, words.schema.metric) == ("words", 0, 3, "l2")
    assert repr(words) == "<Collection 'words': 0 rows, dim 3, l2, int64 ids>"
    assert words.search([1, 2, 3]).ids.tolist() == []


def test_the_defaults(db: tiervdb.Database) -> None:
    schema = db.create_collection("words", dim=3).schema
    assert (schema.metric, schema.id_type, schema.columns) == ("cosine", "string", ())


def test_a_name_is_taken_once(db: tiervdb.Database) -> None:
    db.create_collection("words", dim=3, columns={"a": "int"})
    with pytest.raises(AlreadyExistsError, match="'words' exists already"):
        db.create_collection("words", dim=3, columns={"a": "int"})
    same = db.create_collection("words", dim=3, columns={"a": "int"}, exist_ok=True)
    assert same.schema.id == db["words"].schema.id
    with pytest.raises(SchemaError, match=r"another definition.*dim 3.*dim 4"):
        db.create_collection("words", dim=4, columns={"a": "int"}, exist_ok=True)
    assert db.seq == 1


def test_an_unknown_name_is_a_key_error_with_a_hint(db: tiervdb.Database) -> None:
    db.create_collection("words", dim=3)
    with pytest.raises(KeyError) as caught:
        db["wrods"]
    assert isinstance(caught.value, CollectionNotFoundError)
    assert str(caught.value) == "there is no collection 'wrods'; did you mean 'words'? there are: 'words'"
    with pytest.raises(CollectionNotFoundError):
        db.drop_collection("wrods")


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"dim": 0},
        {"dim": 3, "metric": "hamming"},
        {"dim": 3, "id_type": "uuid"},
        {"dim": 3, "columns": {"id": "int"}},
        {"dim": 3, "columns": {"a": "money"}},
        {"dim": 3, "stored": ["a"]},
        {"dim": 3, "id": "word"},
        {"dim": 3, "data": 7},
    ],
)
def test_a_wrong_definition_creates_nothing(db: tiervdb.Database, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        db.create_collection("words", **wrong)
    assert db.collections() == []
    assert db.seq == 0


@pytest.mark.parametrize(
    "data",
    [
        pd.DataFrame(ROWS),
        pl.DataFrame(ROWS),
        pa.table(ROWS),
        pa.table(ROWS).to_reader(),
        ROWS,
        [{"word": "king", "embedding": [1, 2], "rank": 1}, {"word": "queen", "embedding": [3.0, 4.0]}],
    ],
    ids=["pandas", "polars", "arrow", "reader", "columns", "dicts"],
)
def test_data_defines_and_fills_a_collection(db: tiervdb.Database, data: Any) -> None:
    words = db.create_collection("words", data=data, id="word", vector="embedding", metric="l2")
    assert (words.schema.dim, words.schema.id_type) == (2, "string")
    assert words.get(["queen", "king"], vectors=True).to_pylist() == [
        {"id": "queen", "rank": None, "vector": [3, 4]},
        {"id": "king", "rank": 1, "vector": [1, 2]},
    ]


def test_a_duckdb_relation_defines_and_fills_a_collection(db: tiervdb.Database) -> None:
    with duckdb.connect() as connection:
        relation = connection.sql("select i as id, [i, 1]::float[2] as vector, i % 2 = 0 as even from range(3) t(i)")
        words = db.create_collection("numbers", data=relation)
    assert words.schema.id_type == "int64"
    assert words.get([2, 1])["even"].to_pylist() == [True, False]


def test_given_types_go_before_inferred_ones(db: tiervdb.Database) -> None:
    rows = [{"id": 1, "vector": [1.0], "big": 2**64 - 1, "text": "long"}]
    made = db.create_collection("c", data=rows, columns={"big": "uint64"})
    assert made.get(1).to_pylist() == [{"id": 1, "big": 2**64 - 1, "text": "long"}]


@pytest.mark.parametrize(
    "rows",
    [
        [{"id": "a", "vector": [1.0]}, {"id": "a", "vector": [2.0]}],
        [{"id": "a", "vector": [1.0]}, {"id": "b", "vector": [float("nan")]}],
        [{"id": "a", "vector": [1.0]}, {"id": "b", "vector": [1.0, 2.0]}],
        [{"id": "a", "vector": [1.0]}, {"id": "b", "vector": [0.0]}],
        [{"id": "a", "vector": [1.0], "x": 1}, {"id": "b", "vector": [1.0], "x": "y"}],
    ],
)
def test_data_that_cannot_be_loaded_creates_nothing(db: tiervdb.Database, rows: Any) -> None:
    with pytest.raises(InvalidInputError):
        db.create_collection("words", data=rows)
    assert db.collections() == []


def test_data_may_be_loaded_again_where_that_is_fine(db: tiervdb.Database) -> None:
    db.create_collection("words", data=ROWS, id="word", vector="embedding")
    db["words"].add_column("more", "string")
    db["words"].drop_column("more")
    words = db.create_collection("words", data=ROWS, id="word", vector="embedding", exist_ok=True)
    assert len(words) == 2


def test_columns_come_and_go(placed: tiervdb.Collection) -> None:
    placed.add_column("lang", "string")
    assert placed.get("w1")["lang"].to_pylist() == [None]
    placed.update(columns={"lang": "en"}, ids=["w1"])
    placed.drop_column("rank")
    assert placed.get("w1").column_names == ["id", "pos", "seen", "tags", "lang"]
    assert placed.count("lang = 'en'") == 1
    placed.add_column("rank", "string")  # another column of the same name
    assert placed.get("w1")["rank"].to_pylist() == [None]


def test_columns_that_cannot_come_or_go(words: tiervdb.Collection) -> None:
    for name in ("rank", "RANK", "id", "vector", "distance", "query"):
        with pytest.raises(SchemaError):
            words.add_column(name, "int64")
    with pytest.raises(SchemaError, match="unknown column type"):
        words.add_column("a", "money")
    with pytest.raises(InvalidInputError):
        words.add_column("", "int64")
    with pytest.raises(SchemaError, match="did you mean 'rank'"):
        words.drop_column("rnak")
    assert len(words.schema.columns) == 4


def test_stored_columns_are_kept_and_not_filtered_on(db: tiervdb.Database) -> None:
    texts = db.create_collection("texts", dim=1, columns={"text": "string", "n": "int64"}, stored=["text"])
    texts.upsert(ids=["a", "b"], vectors=[[1], [2]], columns={"text": ["long", None], "n": [1, 2]})
    for _ in range(2):
        assert texts.get(["a", "b"])["text"].to_pylist() == ["long", None]
        assert texts.search([1.0], k=1, columns=["text"]).table["text"].to_pylist() == ["long"]
        with pytest.raises(tiervdb.errors.FilterError, match="text"):
            texts.count("text = 'long'")
        db.demote("texts")


def test_dropping_a_collection_ends_its_handles(db: tiervdb.Database, words: tiervdb.Collection) -> None:
    commit = db.drop_collection("words")
    assert commit.deleted == 300
    with pytest.raises(CollectionNotFoundError, match="there is no collection 'words'"):
        len(words)
    db.create_collection("words", dim=2)
    with pytest.raises(CollectionNotFoundError, match=r"was dropped.*db\['words'\]"):
        words.upsert(ids=["a"], vectors=[[1, 2]])
    assert len(db["words"]) == 0


def test_collections_do_not_mix(db: tiervdb.Database) -> None:
    a = db.create_collection("a", dim=1, id_type="int64")
    b = db.create_collection("b", dim=1, id_type="int64")
    a.upsert(ids=[1], vectors=[[1]])
    b.upsert(ids=[1, 2], vectors=[[5], [6]])
    db.flush()
    a.delete(ids=[1])
    assert (len(a), len(b)) == (0, 2)
    assert b.get([1], vectors=True)["vector"].to_pylist() == [[5]]


def test_everything_is_there_after_reopening(path: Path) -> None:
    with tiervdb.open(path, options=OPTIONS) as db:
        db.create_collection("words", data=ROWS, id="word", vector="embedding")
        db["words"].add_column("more", "float32")
        schema = db["words"].schema
    with tiervdb.open(path, options=OPTIONS) as db:
        assert db["words"].schema == schema
        assert np.asarray(db["words"].search([1.0, 2.0], k=1).ids).tolist() == ["king"]
