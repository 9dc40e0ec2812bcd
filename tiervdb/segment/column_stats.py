"""Ranges of column values, for the manifest: a filter can pass over a segment whose range it excludes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from tiervdb.format.manifest_entries import ColumnStats, StatValue
from tiervdb.types import Column

MAX_TEXT = 64  # characters of a string that a manifest holds


def column_stats(
    columns: Sequence[Column], arrays: Mapping[int, pa.Array | pa.ChunkedArray], rows: int
) -> tuple[ColumnStats, ...]:
    """The stats of each column; one without an array is null in all ``rows``."""
    return tuple(
        ColumnStats(column=column.id, nulls=rows)
        if (values := arrays.get(column.id)) is None
        else stats_of_array(column.id, values)
        for column in columns
    )


def stats_of_array(column: int, values: pa.Array | pa.ChunkedArray) -> ColumnStats:
    """``low`` and ``high`` are bounds: every value that is not null lies between them, ends included.

    Timestamps count as microseconds. Unknown, and None, are both for lists and for floats with a NaN, ``high`` for
    strings above 64 characters; their ``low`` is cut there.
    """
    if pa.types.is_list(values.type) or values.null_count == len(values):
        return ColumnStats(column=column, nulls=values.null_count)
    if pa.types.is_timestamp(values.type):
        values = values.cast(pa.int64())
    if pa.types.is_floating(values.type) and pc.any(pc.is_nan(values)).as_py():
        return ColumnStats(column=column, nulls=values.null_count)
    found = pc.min_max(values).as_py()
    return ColumnStats(column=column, nulls=values.null_count, low=_low(found["min"]), high=_high(found["max"]))


def _low(value: StatValue) -> StatValue:
    return value[:MAX_TEXT] if isinstance(value, str) else value


def _high(value: StatValue) -> StatValue:
    return None if isinstance(value, str) and len(value) > MAX_TEXT else value
