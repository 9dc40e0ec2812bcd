"""Rows as users pass them, checked against a collection's schema: either wholly usable or refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from tiervdb.database.inputs.arrays import joined, typed_array
from tiervdb.database.inputs.casts import is_list
from tiervdb.database.inputs.columns import to_column
from tiervdb.database.inputs.ids import to_ids
from tiervdb.database.inputs.names import hint
from tiervdb.database.inputs.tables import is_row_list, to_table, transposed
from tiervdb.database.inputs.vectors import to_vectors
from tiervdb.errors import InvalidInputError, SchemaError
from tiervdb.format.columns import arrow_type
from tiervdb.types import CollectionSchema, Column, RowBatch

ColumnValues = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None


def rows_from_arrays(ids: Any, vectors: Any, columns: ColumnValues, schema: CollectionSchema, what: str) -> RowBatch:
    """Rows whose parts are given side by side. One id with one vector is one row."""
    if ids is None or vectors is None:
        raise InvalidInputError(f"{what}: give both ids= and vectors=, or a table of rows")
    id_array = to_ids(ids, schema.id_type, f"{what}: ids")
    matrix = to_vectors(vectors, schema.dim, schema.metric, f"{what}: vectors")
    if len(matrix) != len(id_array):
        raise InvalidInputError(
            f"{what}: {len(id_array)} ids and {len(matrix)} vectors; give one of each for every row"
        )
    return RowBatch(id_array, matrix, to_columns(columns, schema, len(id_array), what))


def rows_from_data(data: Any, schema: CollectionSchema, id: str | None, vector: str | None, what: str) -> RowBatch:
    """Rows from anything tabular; ``id`` and ``vector`` name its columns of ids and of vectors."""
    if isinstance(data, Mapping) or is_row_list(data):
        return _rows_from_python(data, schema, id, vector, what)
    return rows_from_table(to_table(data, what), schema, id, vector, what)


def rows_from_table(
    table: pa.Table | pa.RecordBatch, schema: CollectionSchema, id: str | None, vector: str | None, what: str
) -> RowBatch:
    """Rows from an Arrow table or record batch."""
    id_name, vector_name = name_fields(table.schema, id, vector, what)
    others = [name for name in table.schema.names if name not in {id_name, vector_name}]
    columns = {name: _chunked(table, name) for name in others}
    return rows_from_arrays(_chunked(table, id_name), _chunked(table, vector_name), columns, schema, what)


def to_columns(columns: ColumnValues, schema: CollectionSchema, rows: int, what: str) -> dict[int, pa.Array]:
    """Column arrays by column id. Raises SchemaError for an unknown column or a wrong type."""
    if columns is None:
        return {}
    if not isinstance(columns, Mapping):
        if len(columns) != rows:
            raise InvalidInputError(f"{what}: columns has {len(columns)} dicts for {rows} rows; give one for each row")
        columns = transposed(columns, f"{what}: columns")
    found = {}
    for name, values in columns.items():
        column = known_column(name, schema, what)
        found[column.id] = to_column(values, arrow_type(column.type), rows, f"{what}: column {name!r}")
    return found


def known_column(name: object, schema: CollectionSchema, what: str) -> Column:
    """The column of that name, or SchemaError with the nearest name there is."""
    column = schema.column(name) if isinstance(name, str) else None
    if column is None:
        known = hint(str(name), [c.name for c in schema.columns])
        raise SchemaError(f"{what}: collection {schema.name!r} has no column {name!r}; {known}")
    return column


def name_fields(fields: pa.Schema, id: str | None, vector: str | None, what: str) -> tuple[str, str]:
    """Which fields hold ids and vectors. Unless named: ``id``, and ``vector`` or else the only list of numbers."""
    doubled = {name for name in fields.names if fields.names.count(name) > 1}
    if doubled:
        raise SchemaError(f"{what}: the data has more than one column named {doubled.pop()!r}; rename one")
    id_name = "id" if id is None else id
    if id_name not in fields.names:
        raise SchemaError(f"{what}: no column {id_name!r} for the ids; say id=...; {hint(id_name, fields.names)}")
    if vector is not None:
        if vector not in fields.names:
            raise SchemaError(f"{what}: no column {vector!r} for the vectors; {hint(vector, fields.names)}")
        return id_name, vector
    lists = [f.name for f in fields if f.name == "vector" or _holds_vectors(f.type)]
    if "vector" in lists or len(lists) == 1:
        return id_name, "vector" if "vector" in lists else lists[0]
    found = f"these hold lists of numbers: {', '.join(lists)}" if lists else "no column holds lists of numbers"
    raise SchemaError(f"{what}: the data has no column 'vector'; say vector=...; {found}")


def _holds_vectors(given: pa.DataType) -> bool:
    return is_list(given) and (pa.types.is_floating(given.value_type) or pa.types.is_integer(given.value_type))


def _rows_from_python(data: Any, schema: CollectionSchema, id: str | None, vector: str | None, what: str) -> RowBatch:
    columns = dict(data) if isinstance(data, Mapping) else transposed(data, what)
    if not columns and not isinstance(data, Mapping):
        columns = {id or "id": [], vector or "vector": []}
    names = [id or "id", vector or "vector"]
    for name, what_for in zip(names, ("ids", "vectors"), strict=True):
        if name not in columns:
            raise SchemaError(f"{what}: the rows have no {name!r} for the {what_for}; {hint(name, columns)}")
    ids, vectors = columns.pop(names[0]), columns.pop(names[1])
    return rows_from_arrays(ids, vectors, columns, schema, what)


def _chunked(table: pa.Table | pa.RecordBatch, name: str) -> pa.Array:
    column = table.column(name)
    return joined(column) if isinstance(column, pa.ChunkedArray) else typed_array(column, name)
