"""Reads vectors back from a Parquet file that was just written and waits for its upload."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tiervdb.format.manifest_entries import RowGroup
from tiervdb.segment.cold_writer import row_starts
from tiervdb.types import Rows, Vectors


class WrittenVectors:
    """The vectors of a local file, by row, from a map of it: the page cache holds them, not the process's memory."""

    def __init__(self, path: Path, groups: Sequence[RowGroup], dim: int) -> None:
        self._dim = dim
        self._starts = row_starts(groups)
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._groups: list[Vectors] = [
            np.ndarray((g.rows, dim), "<f4", buffer=mapped, offset=g.vectors_end - g.rows * dim * 4) for g in groups
        ]

    def vectors(self, rows: Rows) -> Vectors:
        """Copies of these rows' vectors, ``(len(rows), dim)``, in their order."""
        found = np.empty((len(rows), self._dim), np.float32)
        if len(rows) and (np.diff(rows) == 1).all():  # a stretch, as measuring asks for them: a third of the time
            return self._stretch(int(rows[0]), found)
        at = np.searchsorted(self._starts, rows, side="right") - 1
        for group in np.unique(at).tolist():
            places = np.flatnonzero(at == group)
            found[places] = self._groups[group][rows[places] - self._starts[group]]
        return found

    def _stretch(self, first: int, found: Vectors) -> Vectors:
        """Fills ``found`` with the rows from ``first`` on."""
        end = first + len(found)
        for start, group in zip(self._starts[:-1].tolist(), self._groups, strict=True):
            low, high = max(start, first), min(start + len(group), end)
            if low < high:
                found[low - first : high - first] = group[low - start : high - start]
        return found
