"""Updates and deletions as functions that make operations of a state, so that they can be made again of a newer one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tiervdb.database.filters import Params, to_filter
from tiervdb.database.inputs.ids import to_ids
from tiervdb.database.inputs.rows import ColumnValues, rows_from_arrays, rows_from_data, to_columns
from tiervdb.database.session import numbered
from tiervdb.engine.view import Place, View
from tiervdb.errors import InvalidInputError
from tiervdb.format.operations import DeleteRows, Operation, UpsertRows
from tiervdb.types import CollectionSchema, RowBatch

Build = Callable[[View, pa.Array | None], list[Operation]]


@dataclass(frozen=True)
class Chosen:
    """Which rows a call is about: those of these ids, or those that match."""

    collection: CollectionSchema  # as it was when the call was made
    ids: pa.Array | None
    where: str | None
    params: Params

    def schema(self, view: View) -> CollectionSchema:
        """The collection in a view; CollectionNotFoundError if it was dropped since the call."""
        return numbered(view.catalog, self.collection.name, self.collection.id)

    def among(self, view: View, only: pa.Array | None) -> pa.Array:
        """The ids that are meant in a view, of those in ``only`` if given. Some of given ids may not exist."""
        schema = self.schema(view)
        if self.ids is not None:
            if only is None:
                return self.ids
            return self.ids.filter(pc.is_in(self.ids, value_set=only)) if only.type == self.ids.type else self.ids[:0]
        condition = to_filter(self.where, self.params, schema)
        if condition is None:
            raise InvalidInputError("give ids= or where=")
        return view.matching_ids(schema, condition, only)


def choose(ids: Any, where: str | None, params: Params, schema: CollectionSchema, what: str, unique: bool) -> Chosen:
    """The rows of ``ids=`` or of ``where=``: exactly one of the two, checked against the schema."""
    if (ids is None) == (where is None):
        raise InvalidInputError(f"{what}: give either ids= or where=, not both and not none")
    if ids is None:
        to_filter(where, params, schema)
        return Chosen(schema, None, where, params)
    if params is not None:
        raise InvalidInputError(f"{what}: params= goes with where=, not with ids=")
    array = to_ids(ids, schema.id_type, f"{what}: ids", unique=unique)
    if not len(array):
        raise InvalidInputError(f"{what}: no ids were given; skip the call when there is nothing to {what}")
    return Chosen(schema, array if unique else pc.unique(array), None, None)


def whole_rows(
    rows: Any,
    ids: Any,
    vectors: Any,
    columns: ColumnValues,
    id: str | None,
    vector: str | None,
    schema: CollectionSchema,
) -> RowBatch:
    """What an upsert was given: a table of rows, or their parts side by side; at least one row."""
    if rows is not None:
        if ids is not None or vectors is not None or columns is not None:
            raise InvalidInputError("upsert: give either a table of rows, or ids=, vectors= and columns=, not both")
        batch = rows_from_data(rows, schema, id, vector, "upsert")
    elif id is not None or vector is not None:
        raise InvalidInputError("upsert: id= and vector= name columns of a table; for arrays use ids= and vectors=")
    else:
        batch = rows_from_arrays(ids, vectors, columns, schema, "upsert")
    if not len(batch):
        raise InvalidInputError("upsert: no rows were given; skip the call when there is nothing to write")
    return batch


def upsertion(batch: RowBatch, schema: CollectionSchema) -> Build:
    """Writes these rows."""

    def build(_view: View, only: pa.Array | None) -> list[Operation]:
        if only is None:
            return [UpsertRows(schema.id, batch)]
        if only.type != batch.ids.type:
            return []
        among = pc.is_in(batch.ids, value_set=only).to_numpy(zero_copy_only=False)
        return [UpsertRows(schema.id, batch.take(np.flatnonzero(among)))]

    return build


def deletion(chosen: Chosen) -> Build:
    """Deletes the chosen rows."""

    def build(view: View, only: pa.Array | None) -> list[Operation]:
        return [DeleteRows(chosen.collection.id, chosen.among(view, only))]

    return build


def update(chosen: Chosen, columns: ColumnValues, schema: CollectionSchema) -> Build:
    """Gives columns of the chosen rows new values and keeps all else of them; ids that do not exist are passed over."""
    if not columns:
        raise InvalidInputError("update: give columns={name: new value or values}")
    if chosen.ids is None and not isinstance(columns, Mapping):
        raise InvalidInputError("update: with where= give columns={name: one value for all rows}")
    if chosen.ids is not None:
        to_columns(columns, schema, len(chosen.ids), "update")  # what is wrong is said before anything is read

    def build(view: View, only: pa.Array | None) -> list[Operation]:
        now = chosen.schema(view)
        ids = chosen.among(view, only)
        place = view.locate(now, ids)
        there = np.flatnonzero(place.sources >= 0)
        found = Place(place.sources[there], place.rows[there])
        ids = ids.take(pa.array(there))
        new = _new_values(chosen, columns, now, ids)
        kept = [c for c in now.columns if c.id not in new]
        table = view.fetch(now, found, kept, vectors=False, ids=ids)
        old = {c.id: pa.concat_arrays(table.column(c.name).chunks) for c in kept} if len(ids) else {}
        batch = RowBatch(ids, view.vectors(now, found), {**old, **new})
        return [UpsertRows(now.id, batch, "update")]

    return build


def _new_values(chosen: Chosen, columns: ColumnValues, schema: CollectionSchema, ids: pa.Array) -> dict[int, pa.Array]:
    """The new values of the rows of ``ids``, which are some of those that were chosen."""
    if chosen.ids is None:
        return to_columns(columns, schema, len(ids), "update")
    values = to_columns(columns, schema, len(chosen.ids), "update")
    at = pc.index_in(ids, value_set=chosen.ids)
    return {column: array.take(at) for column, array in values.items()}
