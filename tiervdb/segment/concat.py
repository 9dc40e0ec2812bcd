"""Several segments' live rows as one source, for writing them as one new segment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from tiervdb.segment.segment import Segment
from tiervdb.segment.sketch import Codes, ListNumbers
from tiervdb.types import Mask, Rows, Vectors

GONE = -1
_MOST_DEAD = 0.2  # of a graph, before it is built anew


class GraphBase(NamedTuple):
    """A segment whose graph can be extended. ``rows``: the row of the source for each row of it, -1 for dead ones."""

    segment: Segment
    rows: Rows


class LiveRows:
    """The live rows of segments, one segment after the other. ``live``: a mask for each, None: all rows.

    ``new_rows``: for each segment, the row here of each of its rows, -1 for dead ones.
    """

    def __init__(self, segments: Sequence[Segment], live: Sequence[Mask | None]) -> None:
        self._segments = tuple(segments)
        self._kept = [
            np.arange(s.rows, dtype=np.int64) if m is None else np.flatnonzero(m)
            for s, m in zip(segments, live, strict=True)
        ]
        self._starts = np.cumsum([0, *(len(kept) for kept in self._kept)])
        self.rows = int(self._starts[-1])
        self.new_rows: list[Rows] = []
        for segment, kept, start in zip(self._segments, self._kept, self._starts, strict=False):
            placed = np.full(segment.rows, GONE, np.int64)
            placed[kept] = np.arange(start, start + len(kept))
            self.new_rows.append(placed)

    def ids(self) -> pa.Array:
        parts = [s.ids(kept) for s, kept in zip(self._segments, self._kept, strict=True)]
        return pa.concat_arrays(parts) if len(parts) != 1 else parts[0]

    def vectors(self, rows: Rows) -> Vectors:
        out: Vectors | None = None
        for segment, places, own in self._split(rows):
            vectors = segment.vectors(own)
            if len(own) == len(rows):
                return vectors
            if out is None:
                out = np.empty((len(rows), vectors.shape[1]), np.float32)
            out[places] = vectors
        return np.empty((0, self._segments[0].dim), np.float32) if out is None else out

    def columns(self, column_ids: Sequence[int], rows: Rows | None = None) -> dict[int, pa.Array]:
        """Columns that some of the segments hold; null in the rows of the others."""
        wanted = np.arange(self.rows, dtype=np.int64) if rows is None else rows
        parts = [(places, s.columns(column_ids, own)) for s, places, own in self._split(wanted)]
        found = {}
        for column in column_ids:
            typed = next((values[column].type for _, values in parts if column in values), None)
            if typed is not None:
                found[column] = _placed(parts, column, typed, len(wanted))
        return found

    def coded(self, codebook: str) -> tuple[ListNumbers, Codes] | None:
        """List and code of every row, if all segments are coded under this codebook."""
        if any(s.entry.codebook != codebook for s in self._segments):
            return None
        parts = [s.coded() for s in self._segments]
        known = [(n[kept], c[kept]) for p, kept in zip(parts, self._kept, strict=True) if p for n, c in [p]]
        if len(known) != len(parts):
            return None
        return np.concatenate([n for n, _ in known]), np.concatenate([c for _, c in known])

    def graph_base(self) -> GraphBase | None:
        """The segment with the largest graph, if few of that graph's vectors are dead."""
        best: GraphBase | None = None
        most = 0
        for segment, placed in zip(self._segments, self.new_rows, strict=True):
            graph = segment.graph_file()
            if graph is None:
                continue
            alive = int((placed >= 0).sum())
            if alive > most and graph.size - alive <= _MOST_DEAD * graph.size:
                best, most = GraphBase(segment, placed), alive
        return best

    def _split(self, rows: Rows) -> list[tuple[Segment, Rows, Rows]]:
        """For each segment that has some of the rows: their places among those asked for, and its own rows."""
        at = np.searchsorted(self._starts, rows, side="right") - 1
        parts = []
        for number, segment in enumerate(self._segments):
            places = np.flatnonzero(at == number)
            if len(places):
                parts.append((segment, places, self._kept[number][rows[places] - self._starts[number]]))
        return parts


def _placed(parts: Sequence[tuple[Rows, dict[int, pa.Array]]], column: int, kind: pa.DataType, rows: int) -> pa.Array:
    arrays = [v[column].cast(kind) if column in v else pa.nulls(len(places), kind) for places, v in parts]
    if len(arrays) == 1:
        return arrays[0]
    back = np.empty(rows, np.int64)
    back[np.concatenate([places for places, _ in parts])] = np.arange(rows)
    return pa.concat_arrays(arrays).take(pa.array(back))
