"""Reads rows of a cold segment from its Parquet object: vectors by address, columns by chunk, all checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa

from tiervdb.errors import CorruptionError, InvalidInputError
from tiervdb.format.manifest_entries import FileRef, RowGroup
from tiervdb.segment.cold_columns import ColdColumns
from tiervdb.segment.cold_writer import RowSums, row_starts, row_sums
from tiervdb.storage.coalesce import GAP_BYTES, LONGEST_BYTES
from tiervdb.storage.object_store import ByteRange, ObjectStore
from tiervdb.types import Column, RowBatch, Rows, Vectors

MAX_RANGE_BYTES = LONGEST_BYTES
PAGE_BYTES = 8 << 10  # what single rows are read and cached by: neighbours are alike, so the next search wants them too
STREAM_BYTES = 64 << 20


class ColdVectors:
    """Fetches vectors of a cold segment by row, in one wave of range reads. Thread-safe.

    ``row_groups``: from the manifest. ``sums``: the CRC32C of every row's vector, which stay local.
    """

    def __init__(self, store: ObjectStore, key: str, dim: int, row_groups: Sequence[RowGroup], sums: RowSums) -> None:
        self._store = store
        self._key = key
        self.dim = dim
        self._starts = row_starts(row_groups)
        self._ends = np.array([g.vectors_end for g in row_groups], np.int64)
        self._sums = sums
        self.rows = int(self._starts[-1])
        if len(sums) != self.rows:
            raise CorruptionError(
                f"opening {key}: there are {len(sums)} row checksums for {self.rows} rows; run `tiervdb check`"
            )

    def fetch(self, rows: Rows) -> Vectors:
        """The vectors of these rows, ``(len(rows), dim)``, in their order; a row may occur several times.

        Neighbours closer than 64 KiB share a range. Raises CorruptionError if a vector is not the one that was written.
        """
        if not len(rows):
            return np.empty((0, self.dim), np.float32)
        wanted, places = np.unique(rows, return_inverse=True)
        if int(wanted[0]) < 0 or int(wanted[-1]) >= self.rows:
            raise InvalidInputError(f"rows {wanted[0]} to {wanted[-1]} were asked for, and there are {self.rows}")
        runs = self._runs(wanted)
        pieces = self._store.get_ranges(self._key, [self._range(wanted[a], wanted[b - 1]) for a, b in runs])
        vectors = np.empty((len(wanted), self.dim), "<f4")
        for (a, b), piece in zip(runs, pieces, strict=True):
            vectors[a:b] = np.frombuffer(piece, "<f4").reshape(-1, self.dim)[wanted[a:b] - wanted[a]]
        self._check(wanted, vectors)
        return vectors if len(wanted) == len(rows) and (wanted == rows).all() else vectors[places]

    def pages(self, rows: Rows) -> list[ByteRange]:
        """The pages of the object that hold these rows, rising. A page always has the same bounds."""
        first = self._offsets(rows)
        low, high = first // PAGE_BYTES, (first + 4 * self.dim - 1) // PAGE_BYTES
        most = int((high - low).max()) + 1
        numbers = np.unique(np.concatenate([np.minimum(low + step, high) for step in range(most)]))
        limit = int(self._ends[-1])
        return [ByteRange(at, min(PAGE_BYTES, limit - at)) for at in (numbers * PAGE_BYTES).tolist()]

    def from_pages(self, rows: Rows, pages: Sequence[ByteRange], pieces: Sequence[bytes]) -> Vectors:
        """The vectors of these rows out of their pages. Raises CorruptionError if one is not what was written."""
        first = self._offsets(rows)
        held = np.searchsorted([page.start for page in pages], first - first % PAGE_BYTES)
        at = held * PAGE_BYTES + first % PAGE_BYTES  # a row's pages follow each other, and all but the last are full
        data = np.frombuffer(b"".join(pieces), np.uint8)
        vectors = np.ascontiguousarray(data[at[:, None] + np.arange(4 * self.dim)]).view("<f4")
        self._check(rows, vectors)
        return vectors

    def _offsets(self, rows: Rows) -> Rows:
        """Where the vector of each row begins."""
        group = np.searchsorted(self._starts, rows, side="right") - 1
        return self._ends[group] - (self._starts[group + 1] - rows) * (4 * self.dim)

    def _runs(self, wanted: Rows) -> list[tuple[int, int]]:
        """Slices of the sorted rows that are read together: of one row group, with small gaps, and not too long."""
        width = 4 * self.dim
        groups = np.searchsorted(self._starts, wanted, side="right")
        near = (np.diff(wanted) - 1) * width <= GAP_BYTES
        breaks = [0, *(np.flatnonzero(~(near & (np.diff(groups) == 0))) + 1).tolist(), len(wanted)]
        longest = max(1, MAX_RANGE_BYTES // width)
        runs = []
        for a, b in pairwise(breaks):
            while a < b:
                end = min(b, int(np.searchsorted(wanted, wanted[a] + longest)))
                runs.append((a, end))
                a = end
        return runs

    def _range(self, first: int, last: int) -> ByteRange:
        group = int(np.searchsorted(self._starts, first, side="right")) - 1
        width = 4 * self.dim
        start = int(self._ends[group]) - (int(self._starts[group + 1]) - int(first)) * width
        return ByteRange(start, (int(last) - int(first) + 1) * width)

    def _check(self, rows: Rows, vectors: Vectors) -> None:
        wrong = np.flatnonzero(row_sums(vectors) != self._sums[rows])
        if len(wrong):
            raise CorruptionError(
                f"reading vectors of {self._key} in {self._store.url}: row {rows[wrong[0]]} and {len(wrong) - 1} "
                "others do not match their checksums; the object is damaged: restore it from a backup"
            )


def read_columns(
    store: ObjectStore, file: FileRef, rows: Rows | None, columns: Sequence[Column]
) -> dict[int, pa.Array]:
    """The values of these rows (None: all), by column id, of those of the columns that the object has.

    Reads the footer each time; a segment that stays open keeps a ``ColdColumns``.
    """
    return ColdColumns(store, file).read(rows, columns)


def stream_rows(vectors: ColdVectors, columns: ColdColumns, wanted: Sequence[Column]) -> Iterator[RowBatch]:
    """All rows in their order, in batches of up to 64 MiB of vectors within one row group."""
    starts = columns.row_starts
    for group, (first, end) in enumerate(pairwise(starts.tolist())):
        ids, values = columns.read_group(group, wanted)
        step = max(1, STREAM_BYTES // (4 * vectors.dim))
        for start in range(first, end, step):
            stop = min(start + step, end)
            a, b = start - first, stop - first
            part = {c: v.slice(a, b - a) for c, v in values.items()}
            yield RowBatch(ids.slice(a, b - a), vectors.fetch(np.arange(start, stop)), part)
