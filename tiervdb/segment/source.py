"""Rows that a segment is written from: in memory, or of other segments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import pyarrow as pa

from tiervdb.types import RowBatch, Rows, Vectors


class RowSource(Protocol):
    """Rows with random access. Row numbers go from 0 to ``rows``."""

    @property
    def rows(self) -> int: ...

    def ids(self) -> pa.Array:
        """The id of each row."""
        ...

    def vectors(self, rows: Rows) -> Vectors:
        """The vectors of the given rows, float32 ``(rows, dim)``."""
        ...

    def columns(self, column_ids: Sequence[int], rows: Rows | None = None) -> dict[int, pa.Array]:
        """The columns, as far as there are any, of the given rows (None: all)."""
        ...


class BatchSource:
    """A batch of rows in memory as a source."""

    def __init__(self, batch: RowBatch) -> None:
        self._batch = batch
        self.rows = len(batch)

    def ids(self) -> pa.Array:
        return self._batch.ids

    def vectors(self, rows: Rows) -> Vectors:
        return self._batch.vectors[rows]

    def columns(self, column_ids: Sequence[int], rows: Rows | None = None) -> dict[int, pa.Array]:
        held = self._batch.columns
        at = None if rows is None else pa.array(rows)
        return {c: held[c] if at is None else held[c].take(at) for c in column_ids if c in held}


class OrderedSource:
    """Another source's rows in another order. ``order``: the source's row for each row of this one."""

    def __init__(self, source: RowSource, order: Rows) -> None:
        self._source = source
        self._order = order
        self.rows = len(order)

    def ids(self) -> pa.Array:
        return self._source.ids().take(pa.array(self._order))

    def vectors(self, rows: Rows) -> Vectors:
        return self._source.vectors(self._order[rows])

    def columns(self, column_ids: Sequence[int], rows: Rows | None = None) -> dict[int, pa.Array]:
        return self._source.columns(column_ids, self._order if rows is None else self._order[rows])


def all_rows(count: int) -> Rows:
    return np.arange(count, dtype=np.int64)
