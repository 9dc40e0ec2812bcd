"""get, scan and count."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

import tiervdb
from tests.database.conftest import COUNT, DIM, Words
from tiervdb.errors import FilterError, InvalidInputError, SchemaError


def test_rows_come_in_the_order_asked(placed: tiervdb.Collection, data: Words) -> None:
    asked = ["w299", "nobody", "w0", "w7", "w0"]
    table = placed.get(asked, vectors=True)
    assert table.column_names == ["id", "rank", "pos", "seen", "tags", "vector"]
    assert table["id"].to_pylist() == ["w299", "w0", "w7", "w0"]
    assert table["rank"].to_pylist() == [299, 0, 7, 0]
    assert table["vector"].to_pylist() == data.vectors[[299, 0, 7, 0]].tolist()
    assert table.schema.field("vector").type == pa.list_(pa.float32(), DIM)
    assert placed.get(pl.Series(asked)).equals(placed.get(asked))


def test_no_rows_have_the_same_fields(placed: tiervdb.Collection) -> None:
    for ids in ([], ["nobody"]):
        table = placed.get(ids, vectors=True)
        assert table.schema == placed.get(["w1"], vectors=True).schema
        assert len(table) == 0


def test_columns_are_chosen(placed: tiervdb.Collection) -> None:
    assert placed.get("w1", columns=[]).column_names == ["id"]
    assert placed.get("w1", columns=["tags", "rank"]).column_names == ["id", "tags", "rank"]
    assert placed.get("w1", columns=["id", "rank", "rank", "vector"]).column_names == ["id", "rank", "vector"]
    assert placed.get("w1", columns="*").column_names == ["id", "rank", "pos", "seen", "tags"]
    assert placed.get("w1", ["pos"], True).column_names == ["id", "pos", "vector"]


@pytest.mark.parametrize(
    ("ids", "columns", "error", "text"),
    [
        ([1], None, InvalidInputError, "string ids"),
        ([None], None, InvalidInputError, "row 0"),
        (None, None, InvalidInputError, "get: ids"),
        (["w1"], ["rnak"], SchemaError, "get: columns: .*did you mean 'rank'"),
        (["w1"], "rank", InvalidInputError, "list of column names"),
        (["w1"], 5, InvalidInputError, "list of column names"),
        (["w1"], [5], SchemaError, "no column 5"),
    ],
)
def test_what_cannot_be_got(words: tiervdb.Collection, ids: Any, columns: Any, error: Any, text: str) -> None:
    with pytest.raises(error, match=text):
        words.get(ids, columns)


def test_membership_and_length(placed: tiervdb.Collection) -> None:
    assert len(placed) == placed.count() == COUNT
    assert "w299" in placed
    assert "w300" not in placed
    with pytest.raises(InvalidInputError):
        _ = 5 in placed


MATCHING: list[tuple[str, Any, int]] = [
    ("rank < ?", [10], 10),
    ("rank between 5 and 8 and pos = 'noun'", None, 3),
    ("pos is null", [], 100),
    ("not pos = 'noun'", None, 0),  # null is no match
    ("id in ('w1', 'w2', 'nobody')", None, 2),
    ("id = ?", ["w7"], 1),
    ("list_contains(tags, 'even')", None, 150),
    ("len(tags) = 0 and rank % 3 = 0", None, 50),
    ("seen >= '1970-01-01 00:04:00+00'", None, 60),
    ("true", None, 300),
    ("null", None, 0),
    ('"rank" + 1 = ?', [5], 1),
    ("rank = $1 or rank = $1 + 1", [4], 2),
]


def test_counting_what_matches(placed: tiervdb.Collection) -> None:
    for where, params, expected in MATCHING:
        assert placed.count(where, params) == expected, where
        assert placed.scan(where, params, columns=[]).read_all().num_rows == expected, where


@pytest.mark.parametrize(
    ("where", "params"),
    [
        ("rnak < 5", None),
        ("rank <", None),
        ("rank < ?", None),
        ("rank < ?", [1, 2]),
        ("rank < 5", [1]),
        ("rank", None),
        ("rank + 1", None),
        ("true; drop table x", None),
        ("(select 1) = 1", None),
        ("sum(rank) > 5", None),
        ("rank < ?", "5"),
        (5, None),
        (None, [1]),
    ],
)
def test_what_is_no_filter(words: tiervdb.Collection, where: Any, params: Any) -> None:
    for call in (words.count, words.scan):
        with pytest.raises(FilterError):
            call(where, params)


def test_a_scan_gives_every_row_once(placed: tiervdb.Collection, data: Words) -> None:
    reader = placed.scan(vectors=True)
    assert isinstance(reader, pa.RecordBatchReader)
    table = reader.read_all().sort_by("rank")
    assert table.column_names == ["id", "rank", "pos", "seen", "tags", "vector"]
    assert table["id"].to_pylist() == data.ids
    vectors = table["vector"].combine_chunks().flatten().to_numpy().reshape(-1, DIM)
    np.testing.assert_array_equal(vectors.view(np.uint32), data.vectors.view(np.uint32))
    assert table["tags"].to_pylist() == data.columns["tags"]
    assert table["seen"].combine_chunks().equals(data.columns["seen"])


def test_a_scan_is_one_state(db: tiervdb.Database, placed: tiervdb.Collection) -> None:
    reader = placed.scan(columns=["rank"])
    placed.delete(where="rank < 150")
    placed.update(columns={"rank": -1}, where="true")
    db.flush()
    db.maintain()
    assert sorted(reader.read_all()["rank"].to_pylist()) == list(range(COUNT))


def test_a_scan_outlives_its_collection(db: tiervdb.Database, words: tiervdb.Collection) -> None:
    db.flush()
    reader = words.scan(columns=[])
    db.drop_collection("words")
    db.maintain()
    assert reader.read_all().num_rows == COUNT


def test_a_scan_of_nothing(words: tiervdb.Collection) -> None:
    table = words.scan("rank < 0", vectors=True).read_all()
    assert (table.num_rows, table.column_names[-1]) == (0, "vector")
    with pytest.raises(SchemaError, match="scan: columns"):
        words.scan(columns=["rnak"])
