"""What is different between two states of a collection, found without reading what both have in common."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tiervdb.engine.source import Source
from tiervdb.engine.view import Place, View
from tiervdb.errors import SchemaError
from tiervdb.format.columns import id_arrow_type
from tiervdb.types import CollectionSchema, Column

_COMPARED = 4096  # rows at once

_TABLE_FIELDS = [
    ("change", pa.string()),
    ("vector_changed", pa.bool_()),
    ("columns", pa.list_(pa.string())),
]


@dataclass(frozen=True)
class State:
    """A collection as of one view; ``schema`` None: it does not exist there."""

    view: View
    schema: CollectionSchema | None


@dataclass(frozen=True)
class Candidates:
    """Ids: ``added`` are in the new state only, ``removed`` in the old one only, ``both`` may differ."""

    added: pa.Array
    removed: pa.Array
    both: pa.Array


@dataclass(frozen=True)
class Changed:
    """Rows of both states that differ: ids, whether their vectors do, and the names of the columns that do."""

    ids: pa.Array
    vector_changed: pa.Array
    columns: pa.Array


def candidates(new: State, old: State) -> Candidates:
    """The ids that may be different. Rows of a segment that both states have are looked at only where they died."""
    id_type = _id_type(new, old)
    mine, theirs = _private_ids(new, old), _private_ids(old, new)
    ours, before = _concat(mine, id_type), _concat(theirs, id_type)
    in_both = pc.is_in(ours, value_set=before)
    return Candidates(
        added=ours.filter(pc.invert(in_both)),
        removed=before.filter(pc.invert(pc.is_in(before, value_set=ours))),
        both=ours.filter(in_both),
    )


def changes(new: State, old: State, ids: pa.Array) -> Iterator[Changed]:
    """Those of the ids, which are in both states, whose rows differ; a few thousand rows are read at a time."""
    if new.schema is None or old.schema is None:
        return
    for start in range(0, len(ids), _COMPARED):
        part = _compared(new, old, ids.slice(start, _COMPARED))
        if len(part.ids):
            yield part


def table(new: State, old: State) -> pa.Table:
    """One row for each id that is different: id, change, vector_changed, columns."""
    found = candidates(new, old)
    id_type = _id_type(new, old)
    fields = pa.schema([("id", id_type), *_TABLE_FIELDS])
    parts = [_rows(found.added, "added", fields), _rows(found.removed, "removed", fields)]
    for part in changes(new, old, found.both):
        change = pa.array(["changed"] * len(part.ids))
        parts.append(pa.table([part.ids, change, part.vector_changed, part.columns], schema=fields))
    return pa.concat_tables(parts)


def common_columns(new: CollectionSchema, old: CollectionSchema) -> list[tuple[Column, Column]]:
    """Columns of one name and type, in the new and in the old state."""
    known = {column.name: column for column in old.columns}
    pairs = [(column, known.get(column.name)) for column in new.columns]
    return [(column, other) for column, other in pairs if other is not None and other.type == column.type]


def _rows(ids: pa.Array, change: str, fields: pa.Schema) -> pa.Table:
    count = len(ids)
    nothing = [pa.array([change] * count, pa.string()), pa.nulls(count, pa.bool_())]
    return pa.table([ids, *nothing, pa.nulls(count, pa.list_(pa.string()))], schema=fields)


def _private_ids(state: State, other: State) -> list[pa.Array]:
    """The ids of live rows that the other state does not have in the very same place."""
    if state.schema is None:
        return []
    shared = {}
    if other.schema is not None and other.schema.id == state.schema.id:
        shared = {s.key: s for s in other.view.sources(other.schema) if s.key is not None}
    found = []
    for source in state.view.sources(state.schema):
        rows = _private_rows(source, shared.get(source.key) if source.key is not None else None)
        if len(rows):
            found.append(source.ids(rows))
    return found


def _private_rows(source: Source, twin: Source | None) -> np.ndarray:
    live = source.live()
    mine = np.ones(source.rows, np.bool_) if live is None else live
    if twin is None or twin.rows != source.rows:
        return np.flatnonzero(mine)
    theirs = twin.live()
    return np.flatnonzero(mine if theirs is None else mine & ~theirs) if theirs is not None else np.empty(0, np.int64)


def _compared(new: State, old: State, ids: pa.Array) -> Changed:
    assert new.schema is not None
    assert old.schema is not None
    here, there = new.view.locate(new.schema, ids), old.view.locate(old.schema, ids)
    vectors = new.view.vectors(new.schema, here), old.view.vectors(old.schema, there)
    if new.schema.dim == old.schema.dim:
        moved = (vectors[0].view(np.uint32) != vectors[1].view(np.uint32)).any(axis=1)
    else:
        moved = np.ones(len(ids), np.bool_)
    differ = dict(_column_masks(new, old, here, there, ids))
    any_differs = moved.copy()
    for mask in differ.values():
        any_differs |= mask
    at = np.flatnonzero(any_differs)
    names = [[name for name, mask in differ.items() if mask[row]] for row in at.tolist()]
    return Changed(ids.take(pa.array(at)), pa.array(moved[at]), pa.array(names, pa.list_(pa.string())))


def _column_masks(new: State, old: State, here: Place, there: Place, ids: pa.Array) -> Iterator[tuple[str, np.ndarray]]:
    assert new.schema is not None
    assert old.schema is not None
    mine = new.view.fetch(new.schema, here, new.schema.columns, vectors=False, ids=ids)
    theirs = old.view.fetch(old.schema, there, old.schema.columns, vectors=False, ids=ids)
    both = {column.name for column, _ in common_columns(new.schema, old.schema)}
    for name in dict.fromkeys([*mine.column_names[1:], *theirs.column_names[1:]]):
        if name in both:
            yield name, _differs(mine.column(name).combine_chunks(), theirs.column(name).combine_chunks())
        else:
            only = mine if name in mine.column_names else theirs
            yield name, pc.is_valid(only.column(name)).to_numpy()


def _differs(one: pa.Array, other: pa.Array) -> np.ndarray:
    if pa.types.is_list(one.type):
        return np.array([a != b for a, b in zip(one.to_pylist(), other.to_pylist(), strict=True)], np.bool_)
    unequal = pc.fill_null(pc.not_equal(one, other), False)
    null = pc.xor(pc.is_null(one), pc.is_null(other))
    differs: np.ndarray = pc.or_(unequal, null).to_numpy(zero_copy_only=False)
    if pa.types.is_floating(one.type):
        nans = pc.and_(pc.fill_null(pc.is_nan(one), False), pc.fill_null(pc.is_nan(other), False))
        differs = differs & ~nans.to_numpy(zero_copy_only=False)
    return differs


def _concat(parts: list[pa.Array], id_type: pa.DataType) -> pa.Array:
    return pa.concat_arrays(parts) if parts else pa.array([], id_type)


def _id_type(new: State, old: State) -> pa.DataType:
    types = {state.schema.id_type for state in (new, old) if state.schema is not None}
    if len(types) > 1:
        raise SchemaError("diff: the collection was made anew with another type of ids, so that no id can be compared")
    return id_arrow_type(types.pop()) if types else pa.string()
