"""Creating a collection, with or without its first rows."""

from __future__ import annotations

from collections.abc import Collection as Names
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from tiervdb.database.collection import Collection
from tiervdb.database.inputs.rows import rows_from_data, rows_from_table
from tiervdb.database.inputs.schemas import ColumnType, infer_schema, new_schema, same_definition
from tiervdb.database.inputs.tables import is_row_list, to_table, transposed
from tiervdb.database.session import Session
from tiervdb.errors import AlreadyExistsError, InvalidInputError, SchemaError
from tiervdb.format.operations import CreateCollection, UpsertRows
from tiervdb.types import CollectionSchema, RowBatch


def create_collection(
    session: Session,
    name: str,
    *,
    dim: int | None,
    metric: str,
    id_type: str | None,
    columns: Mapping[str, ColumnType] | None,
    stored: Names[str],
    exist_ok: bool,
    data: Any,
    id: str | None,
    vector: str | None,
) -> Collection:
    """See Database.create_collection."""
    shard = session.shard("create a collection")
    batch = None
    if columns is not None and not isinstance(columns, Mapping):
        raise InvalidInputError(f'create_collection: columns={columns!r} is not usable; give {{"name": "type", ...}}')
    if data is None:
        if id is not None or vector is not None:
            raise InvalidInputError("create_collection: id= and vector= name columns of data=, which was not given")
        if dim is None:
            raise SchemaError(f"create_collection: give dim= of {name!r}, its number of dimensions, or data=")
        schema = new_schema(name, dim, metric, id_type or "string", columns, stored)
    else:
        table = to_table(_inferable(data, columns or {}), "create_collection: data")
        schema = infer_schema(
            name, table, id=id, vector=vector, dim=dim, metric=metric, id_type=id_type, columns=columns, stored=stored
        )
        batch = _first_rows(data, table, schema, id, vector)
    known = _existing(session, schema, exist_ok)
    if known is None:
        try:
            shard.commit([CreateCollection(schema)])
        except AlreadyExistsError:  # another thread was faster
            if not exist_ok:
                raise
        known = _existing(session, schema, exist_ok=True)
    if known is None:
        raise AlreadyExistsError(f"create_collection: {name!r} was dropped again by another thread")
    if batch is not None and len(batch):
        shard.commit([UpsertRows(known.id, _renumbered(batch, schema, known))])
    return Collection(session, known.name, known.id)


def _first_rows(data: Any, table: pa.Table, schema: CollectionSchema, id: str | None, vector: str | None) -> RowBatch:
    """Python rows are read again with the types of the schema, for Arrow guesses types value by value."""
    if isinstance(data, Mapping) or is_row_list(data):
        return rows_from_data(data, schema, id, vector, "create_collection: data")
    return rows_from_table(table, schema, id, vector, "create_collection: data")


def _inferable(data: Any, columns: Mapping[str, ColumnType]) -> Any:
    """Python rows without the columns whose types are given, for Arrow may fail to guess them."""
    if not isinstance(data, Mapping) and not is_row_list(data):
        return data
    given = data if isinstance(data, Mapping) else transposed(data, "create_collection: data")
    return {name: values for name, values in given.items() if name not in columns}


def _existing(session: Session, wanted: CollectionSchema, exist_ok: bool) -> CollectionSchema | None:
    """The collection of that name, if there is one and that is fine."""
    view = session.view()
    if wanted.name not in view.collections():
        return None
    known = view.schema(wanted.name)
    if not exist_ok:
        raise AlreadyExistsError(
            f"create_collection: {wanted.name!r} exists already; use db[{wanted.name!r}], exist_ok=True or another name"
        )
    if not same_definition(known, wanted):
        raise SchemaError(
            f"create_collection: {wanted.name!r} exists with another definition: it has {_shown(known)}, "
            f"and {_shown(wanted)} was asked for; use another name, or drop it first"
        )
    return known


def _renumbered(batch: RowBatch, schema: CollectionSchema, known: CollectionSchema) -> RowBatch:
    """The rows with the column numbers of the collection that exists."""
    names = {c.id: c.name for c in schema.columns}
    numbers = {c.name: c.id for c in known.columns}
    return RowBatch(batch.ids, batch.vectors, {numbers[names[c]]: array for c, array in batch.columns.items()})


def _shown(schema: CollectionSchema) -> str:
    columns = ", ".join(f"{c.name} {c.type}{' stored' if c.stored else ''}" for c in schema.columns)
    return f"dim {schema.dim}, {schema.metric}, {schema.id_type} ids, columns: {columns or 'none'}"
