"""Definitions of collections, given or inferred."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tiervdb.database.inputs.schemas import infer_schema, new_column, new_schema, same_definition
from tiervdb.errors import InvalidInputError, SchemaError
from tiervdb.types import CollectionSchema


def schema(**changes: Any) -> CollectionSchema:
    given: dict[str, Any] = {
        "name": "words",
        "dim": 3,
        "metric": "cosine",
        "id_type": "string",
        "columns": {},
        "stored": (),
    }
    return new_schema(**(given | changes))


def infer(table: pa.Table, **changes: Any) -> CollectionSchema:
    given: dict[str, Any] = {
        "id": None,
        "vector": None,
        "dim": None,
        "metric": "cosine",
        "id_type": None,
        "columns": None,
        "stored": (),
    }
    return infer_schema("words", table, **(given | changes))


def test_columns_are_numbered_and_types_have_one_name() -> None:
    made = schema(
        columns={"a": "int", "b": float, "c": pa.large_string(), "d": "timestamp", "e": "list<string>"}, stored=["c"]
    )
    assert [(c.id, c.name, c.type, c.stored) for c in made.columns] == [
        (1, "a", "int64", False),
        (2, "b", "float64", False),
        (3, "c", "string", True),
        (4, "d", "timestamp[us, UTC]", False),
        (5, "e", "list<string>", False),
    ]
    assert (made.id, made.next_column_id) == (0, 6)


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"name": ""}, InvalidInputError, "name of a collection"),
        ({"name": 3}, InvalidInputError, "must be a string"),
        ({"dim": 0}, SchemaError, "dim=0"),
        ({"dim": -1}, SchemaError, "dim=-1"),
        ({"dim": 2.5}, SchemaError, "dim=2.5"),
        ({"dim": True}, SchemaError, "dim=True"),
        ({"dim": 10**6}, SchemaError, "1 to 65535"),
        ({"metric": "euclid"}, SchemaError, "metric='euclid'"),
        ({"id_type": "uuid"}, SchemaError, "id_type='uuid'"),
        ({"columns": {"a": "decimal"}}, SchemaError, "column 'a': unknown column type 'decimal'"),
        ({"columns": {"a": bytes}}, SchemaError, "column 'a'"),
        ({"columns": {"a": pa.binary()}}, SchemaError, "column 'a'"),
        ({"columns": {"a": 5}}, SchemaError, "not a column type"),
        ({"columns": {"distance": "int"}}, SchemaError, "reserved"),
        ({"columns": {"ID": "int"}}, SchemaError, "reserved"),
        ({"columns": {"a": "int", "A": "int"}}, SchemaError, "case does not count"),
        ({"columns": {"": "int"}}, InvalidInputError, "name of a column"),
        ({"stored": ["b"]}, SchemaError, "stored= names 'b'"),
        ({"columns": {"a": "int"}, "stored": "a"}, InvalidInputError, "must be a list"),
    ],
)
def test_what_cannot_be_a_collection(changes: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        schema(**changes)


def test_a_new_column_does_not_take_a_name() -> None:
    known = schema(columns={"a": "int"})
    assert new_column("b", "str", True, known).type == "string"
    with pytest.raises(SchemaError, match="there is 'a' already"):
        new_column("A", "str", False, known)


ROWS = {
    "word": ["a", "b"],
    "embedding": [[1.0, 2.0], [3.0, 4.0]],
    "rank": [1, 2],
    "score": [0.5, None],
    "seen": [dt.datetime(2026, 1, 1, tzinfo=dt.UTC)] * 2,
    "tags": [["x"], []],
    "ok": [True, False],
}
INFERRED = {
    "rank": "int64",
    "score": "float64",
    "seen": "timestamp[us, UTC]",
    "tags": "list<string>",
    "ok": "bool",
}


@pytest.mark.parametrize(
    "table",
    [pa.table(ROWS), pa.table(pd.DataFrame(ROWS)), pa.table(pl.DataFrame(ROWS))],
    ids=["arrow", "pandas", "polars"],
)
def test_a_definition_is_inferred(table: pa.Table) -> None:
    found = infer(table, id="word", vector="embedding")
    assert (found.dim, found.id_type, found.metric) == (2, "string", "cosine")
    assert {c.name: c.type for c in found.columns} == INFERRED


def test_what_is_given_goes_first() -> None:
    found = infer(
        pa.table(ROWS), id="word", vector="embedding", columns={"rank": "int8", "more": "string"}, stored=["more"]
    )
    types = {c.name: c.type for c in found.columns}
    assert (types["rank"], types["more"], types["ok"]) == ("int8", "string", "bool")
    assert found.columns[-1].stored


def test_integer_ids_and_fixed_size_vectors_without_rows() -> None:
    empty = pa.table({"id": pa.array([], pa.uint8()), "vector": pa.array([], pa.list_(pa.float64(), 7))})
    found = infer(empty)
    assert (found.dim, found.id_type) == (7, "int64")


@pytest.mark.parametrize(
    ("table", "text"),
    [
        (pa.table({"id": [1], "vector": [[1.0]], "x": pa.nulls(1)}), "column 'x' has no value to tell its type"),
        (pa.table({"id": [1], "vector": [[1.0]], "x": [b"a"]}), "column 'x'.*convert it, or leave it out"),
        (pa.table({"id": [1.5], "vector": [[1.0]]}), "ids are integers or strings"),
        (pa.table({"id": [1], "vector": [1.0]}), "not lists of numbers"),
        (pa.table({"id": pa.array([], pa.int64()), "vector": pa.array([], pa.list_(pa.float64()))}), "no row to infer"),
        (pa.table({"id": [1], "vector": [[1.0]], "query": [1]}), "reserved"),
    ],
)
def test_what_cannot_be_inferred(table: pa.Table, text: str) -> None:
    with pytest.raises(SchemaError, match=text):
        infer(table)


def test_equal_definitions() -> None:
    known = schema(columns={"a": "int", "b": "str"})
    assert same_definition(known, schema(columns={"b": "str", "a": "int64"}))
    assert not same_definition(known, schema(columns={"a": "int"}))
    assert not same_definition(known, schema(columns={"a": "int", "b": "str"}, dim=4))
