"""Arrow columns of rows that come from several sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from tiervdb.format.columns import arrow_type
from tiervdb.types import Column, Rows


def complete(arrays: Mapping[int, pa.Array], column: Column, rows: int) -> pa.Array:
    """The column's array; where the source lacks the column every value is null."""
    return arrays[column.id] if column.id in arrays else pa.nulls(rows, arrow_type(column.type))


def vector_array(vectors: np.ndarray, dim: int) -> pa.Array:
    """``(n, dim)`` float32 as an Arrow fixed-size list, not a copy."""
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(vectors).reshape(-1)), dim)


def gather(parts: Sequence[tuple[Rows, pa.Array]], count: int, kind: pa.DataType) -> pa.Array:
    """Joins arrays whose values belong at the given positions of the result: together these are 0..count-1."""
    if not parts:
        return pa.array([], kind)
    joined = pa.concat_arrays([array.cast(kind) for _, array in parts])
    places = np.concatenate([places for places, _ in parts])
    order = np.empty(count, np.int64)
    order[places] = np.arange(count)
    return joined.take(pa.array(order))
