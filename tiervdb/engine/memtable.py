"""Rows and deaths that no manifest holds yet, each with its seq.

A memtable only grows, and a row's death is the one thing that changes: from ALIVE to a seq above every view that was
taken before. So a view at seq V needs no copy: it is the rows with seq <= V whose death is > V.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tiervdb.engine.deaths import DeathLog
from tiervdb.engine.growable import Growable
from tiervdb.segment.filter_tables import Growing
from tiervdb.types import CollectionSchema, IdArray, Mask, RowBatch, Rows, Vectors

ALIVE = np.uint64(2**64 - 1)
MISSING = -1


class _Chunk(NamedTuple):
    """The columns of some rows that were written together."""

    rows: int
    columns: Mapping[int, pa.Array]


class MemRows:
    """The rows of one collection in one memtable."""

    def __init__(self, schema: CollectionSchema) -> None:
        self.id_type = pa.int64() if schema.id_type == "int64" else pa.string()
        self.dim = schema.dim
        self.ids: list[Any] = []
        self._latest: dict[Any, int] = {}
        self._vectors = Growable(np.float32, schema.dim)
        self._seqs = Growable(np.uint64)
        self._deaths = Growable(np.uint64)
        self._previous = Growable(np.int64)  # the row of the id's version before, or MISSING
        self._chunks: tuple[_Chunk, ...] = ()
        self.key = Growing()

    def __len__(self) -> int:
        return self._seqs.size

    def live_rows(self, ids: list[Any]) -> Rows:
        """The row of each id that is alive after the last append, or MISSING."""
        rows = self._latest_rows(ids)
        found = rows >= 0
        if found.any():
            dead = self._deaths.view()[rows[found]] != ALIVE
            rows[np.flatnonzero(found)[dead]] = MISSING
        return rows

    def append(self, batch: RowBatch, ids: list[Any], seq: int) -> None:
        """Appends rows whose earlier versions were killed before."""
        start, count = len(self), len(ids)
        self._previous.extend(self._latest_rows(ids), count)
        self._vectors.extend(batch.vectors, count)
        self._deaths.extend(ALIVE, count)
        self.ids.extend(ids)
        self._chunks = _append_chunk(self._chunks, batch)
        self._latest.update(zip(ids, range(start, start + count), strict=True))
        self._seqs.extend(seq, count)

    def _latest_rows(self, ids: list[Any]) -> Rows:
        """The row of each id's newest version, alive or not, or MISSING."""
        return np.fromiter(map(self._latest.get, ids, repeat(MISSING)), np.int64, len(ids))

    def kill(self, rows: Rows, seq: int) -> None:
        self._deaths.view()[rows] = seq

    def late_deaths(self, seq: int) -> tuple[Rows, npt.NDArray[np.uint64]]:
        """Rows that were alive at ``seq`` and died after it, with the seqs of their deaths, in the order of these."""
        deaths, seqs = self._deaths.view(), self._seqs.view()
        rows = np.flatnonzero((deaths > np.uint64(seq)) & (deaths != ALIVE) & (seqs <= np.uint64(seq)))
        rows = rows[np.argsort(deaths[rows], kind="stable")]
        return rows, deaths[rows]

    def at(self, seq: int) -> MemView:
        """The rows as of ``seq``. Taken under the commit lock; valid for ever."""
        seqs = self._seqs.view()
        rows = len(seqs) if not len(seqs) or seqs[-1] <= seq else int(np.searchsorted(seqs, np.uint64(seq), "right"))
        return MemView(self, rows, seq)


class MemView:
    """The rows of one collection in one memtable as of one seq. Immutable."""

    def __init__(self, table: MemRows, rows: int, seq: int) -> None:
        self._table = table
        self._deaths = table._deaths.view(rows)
        self._seqs = table._seqs.view(rows)
        self._previous = table._previous.view(rows)
        self._vectors = table._vectors.view(rows)
        self._chunks = table._chunks
        self._live: Mask | None = None
        self._ids: pa.Array | None = None
        self._joined: dict[int, pa.Array | None] = {}
        self.key = table.key
        self.rows = rows
        self.seq = seq

    def live(self) -> Mask:
        """One flag a row: alive at the view's seq."""
        if self._live is None:
            self._live = self._deaths > np.uint64(self.seq)
        return self._live

    def ids(self, rows: Rows | None = None) -> pa.Array:
        """Those of all rows are made once: filters and scans ask for them again and again."""
        ids = self._table.ids
        if rows is not None:
            return pa.array([ids[r] for r in rows.tolist()], self._table.id_type)
        if self._ids is None:
            self._ids = pa.array(ids[: self.rows], self._table.id_type)
        return self._ids

    def id_values(self, rows: Rows) -> IdArray:
        """The ids of a few rows as a numpy array."""
        ids = self._table.ids
        return np.array([ids[r] for r in rows.tolist()], np.int64 if self._table.id_type == pa.int64() else np.object_)

    def vectors(self, rows: Rows | None = None) -> Vectors:
        return self._vectors if rows is None else self._vectors[rows]

    def columns(self, column_ids: list[int], rows: Rows | None = None) -> dict[int, pa.Array]:
        """Arrow arrays by column id; a column that no row has is left out."""
        found = {}
        for column in column_ids:
            array = self._column(column)
            if array is not None:
                found[column] = array if rows is None else array.take(pa.array(rows))
        return found

    def ids_from(self, start: int) -> pa.Array:
        """The ids of the rows from ``start`` on."""
        if self._ids is not None or not start:
            return self.ids().slice(start)
        return pa.array(self._table.ids[start : self.rows], self._table.id_type)

    def columns_from(self, start: int, column_ids: list[int]) -> dict[int, pa.Array]:
        """Arrow arrays of the rows from ``start`` on, by column id; a column that no row has is left out."""
        if not start:
            return self.columns(column_ids)
        first, chunks = start, self._chunks
        while chunks and first >= chunks[0].rows:
            first, chunks = first - chunks[0].rows, chunks[1:]
        found = {c: _column(chunks, c, first + self.rows - start) for c in column_ids}
        return {c: array.slice(first) for c, array in found.items() if array is not None}

    def _column(self, column: int) -> pa.Array | None:
        if column not in self._joined:
            self._joined[column] = _column(self._chunks, column, self.rows)
        return self._joined[column]

    def lookup(self, ids: list[Any]) -> Rows:
        """The row of each id that is alive at the view's seq, or MISSING."""
        latest = self._table._latest
        return np.fromiter((self._version(latest.get(i, MISSING)) for i in ids), np.int64, len(ids))

    def written_since(self, seq: int) -> Rows:
        """Rows that appeared or died after ``seq``."""
        late = np.uint64(seq)
        return np.flatnonzero((self._seqs > late) | ((self._deaths > late) & (self._deaths <= np.uint64(self.seq))))

    def batch(self) -> RowBatch:
        """The live rows, as they are written to a segment."""
        rows = np.flatnonzero(self.live())
        column_ids = sorted({c for chunk in self._chunks for c in chunk.columns})
        return RowBatch(self.ids(rows), self._vectors[rows], self.columns(column_ids, rows))

    def _version(self, row: int) -> int:
        while row >= self.rows:
            row = int(self._table._previous.view()[row])
        return row if row >= 0 and self._deaths[row] > self.seq else MISSING


class Memtable:
    """The rows of all collections, and the deaths of segment rows, after one manifest."""

    def __init__(self) -> None:
        self.collections: dict[int, MemRows] = {}
        self.deaths: defaultdict[str, DeathLog] = defaultdict(DeathLog)
        self.floats = 0

    def rows_of(self, schema: CollectionSchema) -> MemRows:
        """The collection's rows, created when they are first asked for."""
        if schema.id not in self.collections:
            self.collections[schema.id] = MemRows(schema)
        return self.collections[schema.id]

    def note_size(self, rows: int, dim: int) -> None:
        self.floats += rows * dim

    def is_empty(self) -> bool:
        return not self.floats and not any(len(log) for log in self.deaths.values())

    def __iter__(self) -> Iterator[tuple[int, MemRows]]:
        return iter(list(self.collections.items()))


def _append_chunk(chunks: tuple[_Chunk, ...], batch: RowBatch) -> tuple[_Chunk, ...]:
    """Adds the columns of a batch.

    Chunks of similar size are joined, so that n single rows cost O(n log n) and leave few.
    """
    kept = [*chunks, _Chunk(len(batch), dict(batch.columns))]
    while len(kept) > 8 and kept[-2].rows < 2 * kept[-1].rows:
        second, first = kept.pop(), kept.pop()
        kept.append(_join(first, second))
    return tuple(kept)


def _join(first: _Chunk, second: _Chunk) -> _Chunk:
    rows = first.rows + second.rows
    return _Chunk(rows, {c: _column((first, second), c, rows) for c in {*first.columns, *second.columns}})


def _column(chunks: tuple[_Chunk, ...], column: int, rows: int) -> pa.Array | None:
    kind = next((chunk.columns[column].type for chunk in chunks if column in chunk.columns), None)
    if kind is None:
        return None
    parts = [chunk.columns[column] if column in chunk.columns else pa.nulls(chunk.rows, kind) for chunk in chunks]
    joined = pa.concat_arrays(parts) if len(parts) != 1 else parts[0]
    return joined.slice(0, rows)
