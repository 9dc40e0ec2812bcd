"""Whole rows as users pass them."""

from __future__ import annotations

from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tiervdb.database.inputs.rows import rows_from_arrays, rows_from_data
from tiervdb.database.inputs.tables import to_reader, to_table
from tiervdb.errors import InvalidInputError, SchemaError
from tiervdb.types import CollectionSchema, Column

SCHEMA = CollectionSchema(
    id=1,
    name="words",
    dim=2,
    metric="l2",
    id_type="string",
    columns=(Column(id=1, name="rank", type="int64"), Column(id=3, name="tags", type="list<string>")),
    next_column_id=4,
)
ROWS: list[dict[str, Any]] = [
    {"id": "a", "vector": [1.0, 2.0], "rank": 1, "tags": ["x"]},
    {"id": "b", "vector": [3.0, 4.0], "rank": None, "tags": None},
]
TABLE = pa.table(
    {
        "id": ["a", "b"],
        "vector": pa.array([[1, 2], [3, 4]], pa.list_(pa.float32(), 2)),
        "rank": [1, None],
        "tags": [["x"], None],
    }
)


class Stream:
    """Anything that speaks Arrow's C stream interface."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return TABLE.__arrow_c_stream__(requested_schema)


@pytest.mark.parametrize(
    "data",
    [
        TABLE,
        pa.concat_tables([TABLE[:1], TABLE[1:]]),
        TABLE.combine_chunks().to_batches()[0],
        TABLE.to_reader(),
        Stream(),
        TABLE.to_pandas(),
        TABLE.to_pandas().set_index(pd.Index([7, 9])),
        TABLE.to_pandas().set_index("id"),
        pl.from_arrow(TABLE),
        ROWS,
        tuple(ROWS),
        {"id": ["a", "b"], "vector": np.array([[1, 2], [3, 4]]), "rank": [1, None], "tags": [["x"], None]},
        [{"id": "a", "vector": np.array([1, 2]), "rank": 1, "tags": ["x"]}, {"id": "b", "vector": (3, 4)}],
    ],
    ids=lambda d: type(d).__name__,
)
def test_rows_of_every_library(data: Any) -> None:
    batch = rows_from_data(data, SCHEMA, None, None, "upsert")
    assert batch.ids.to_pylist() == ["a", "b"]
    np.testing.assert_array_equal(batch.vectors, [[1, 2], [3, 4]])
    assert {c: array.to_pylist() for c, array in batch.columns.items()} == {1: [1, None], 3: [["x"], None]}


def test_rows_of_a_duckdb_relation() -> None:
    with duckdb.connect() as connection:
        batch = rows_from_data(connection.from_arrow(TABLE), SCHEMA, None, None, "upsert")
    assert batch.ids.to_pylist() == ["a", "b"]
    assert batch.columns[3].to_pylist() == [["x"], None]


def test_named_fields_and_missing_columns() -> None:
    data = pa.table({"word": ["a"], "rank": [3], "embedding": [[1.0, 2.0]]})
    batch = rows_from_data(data, SCHEMA, "word", "embedding", "upsert")
    assert batch.ids.to_pylist() == ["a"]
    assert list(batch.columns) == [1]


def test_the_only_list_of_numbers_is_the_vector() -> None:
    data = pa.table({"id": ["a"], "embedding": [[1.0, 2.0]], "tags": [["x"]]})
    assert rows_from_data(data, SCHEMA, None, None, "upsert").vectors.tolist() == [[1, 2]]


def test_no_rows_are_fine_here() -> None:
    for data in ([], TABLE[:0], {"id": [], "vector": []}):
        assert len(rows_from_data(data, SCHEMA, None, None, "upsert")) == 0


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (pa.table({"word": ["a"], "vector": [[1.0, 2.0]]}), "no column 'id' for the ids; say id="),
        (pa.table({"id": ["a"], "rank": [1]}), "no column 'vector'; say vector=...; no column holds lists"),
        (pa.table({"id": ["a"], "x": [[1.0]], "y": [[1.0]]}), "these hold lists of numbers: x, y"),
        (TABLE.append_column("rnk", pa.array([1, 2])), "no column 'rnk'; did you mean 'rank'"),
        (
            pa.table([TABLE["id"], TABLE["vector"], TABLE["rank"], TABLE["rank"]], ["id", "vector", "rank", "rank"]),
            "more",
        ),
        (TABLE.set_column(0, "id", pa.array([1, 2])), "int64 values were given, but this collection has string ids"),
        ([{"id": "a"}], "no 'vector' for the vectors"),
        ([{"vector": [1, 2]}], "no 'id' for the ids"),
        ([{"id": "a", "vector": [1, 2], "colour": 1}], "has no column 'colour'"),
        ([{"id": "a", "vector": [1, 2], "rank": "1"}], "row 0 is '1'"),
        ([{"id": "a", "vector": None}], "vectors"),
        ([{"id": None, "vector": [1, 2]}], "row 0 is None"),
        ([("a", [1, 2])], "row 0 is tuple; give each row as a dict"),
        (["a"], "row 0 is str; give each row as a dict"),
        ("words.parquet", "rows of type str were given"),
        (7, "rows of type int were given"),
        (np.zeros((1, 2)), "rows of type ndarray were given"),
    ],
)
def test_what_does_not_fit_is_refused(data: Any, text: str) -> None:
    with pytest.raises((SchemaError, InvalidInputError), match=text):
        rows_from_data(data, SCHEMA, None, None, "upsert")


def test_unknown_fields_are_named() -> None:
    with pytest.raises(SchemaError, match=r"no column 'wrd' for the ids.*did you mean 'word'"):
        rows_from_data(pa.table({"word": ["a"]}), SCHEMA, "wrd", None, "upsert")
    with pytest.raises(SchemaError, match="no column 'vec' for the vectors"):
        rows_from_data(TABLE, SCHEMA, None, "vec", "upsert")


def test_arrays_side_by_side() -> None:
    batch = rows_from_arrays(["a", "b"], [[1, 2], [3, 4]], {"rank": 7}, SCHEMA, "upsert")
    assert batch.columns[1].to_pylist() == [7, 7]
    dicts = rows_from_arrays(["a", "b"], [[1, 2], [3, 4]], [{"rank": 1}, {"tags": ["x"]}], SCHEMA, "upsert")
    assert dicts.columns[1].to_pylist() == [1, None]
    assert dicts.columns[3].to_pylist() == [None, ["x"]]
    single = rows_from_arrays("a", [1, 2], {"tags": ["x", "y"]}, SCHEMA, "upsert")
    assert (len(single), single.columns[3].to_pylist()) == (1, [["x", "y"]])


@pytest.mark.parametrize(
    ("ids", "vectors", "columns", "text"),
    [
        (["a"], None, None, "give both ids= and vectors="),
        (["a"], [[1, 2], [3, 4]], None, "1 ids and 2 vectors"),
        (["a", "a"], [[1, 2], [3, 4]], None, "occur more than once"),
        (["a"], [[1, 2]], {"rank": [1, 2]}, "2 values for 1 rows"),
        (["a"], [[1, 2]], [{"rank": 1}, {"rank": 2}], "columns has 2 dicts for 1 rows"),
        (["a"], [[1, 2]], {"id": [1]}, "no column 'id'"),
        (["a"], [[1, 2]], {5: [1]}, "no column 5"),
    ],
)
def test_arrays_that_do_not_fit(ids: Any, vectors: Any, columns: Any, text: str) -> None:
    with pytest.raises(InvalidInputError, match=text):
        rows_from_arrays(ids, vectors, columns, SCHEMA, "upsert")


def test_streams_stay_streams() -> None:
    assert to_reader(Stream(), "x").read_all().equals(TABLE)
    assert "__index_level_0__" not in to_table(TABLE.to_pandas().set_index(pd.Index([7, 9])), "x").column_names
