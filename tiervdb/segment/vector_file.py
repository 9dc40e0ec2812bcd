"""The vectors of a hot segment: raw float32 rows in a block file, memory-mapped, blocks checked when first touched."""

from __future__ import annotations

import numpy as np

from tiervdb.format.block_file import BlockReader
from tiervdb.format.envelope import damaged
from tiervdb.types import Rows, Vectors

_FLOAT = 4


class VectorFile:
    """Rows of ``dim`` floats. Safe for threads."""

    def __init__(self, reader: BlockReader, rows: int, dim: int) -> None:
        if reader.length != rows * dim * _FLOAT:
            raise damaged(reader.name, f"its {reader.length} bytes are not {rows} vectors of dim {dim}")
        self.reader = reader
        self._stride = dim * _FLOAT
        self._matrix: Vectors = np.frombuffer(reader.data, np.float32).reshape(rows, dim)
        self._fresh = np.ones(rows, np.bool_)  # rows whose blocks were not checked yet

    def take(self, rows: Rows) -> Vectors:
        """A copy of the given rows."""
        if not self.reader.verified:
            self._check(rows)
        taken: Vectors = self._matrix.take(rows, 0)
        return taken

    def span(self, start: int, end: int) -> Vectors:
        """The rows from ``start`` to ``end``, without a copy."""
        if not self.reader.verified:
            self.reader.view(start * self._stride, (end - start) * self._stride)
        return self._matrix[start:end]

    def _check(self, rows: Rows) -> None:
        """Checks the rows' blocks, at little cost where that was done before: searches come here for every query."""
        if self._fresh.take(rows).any():
            self.reader.check_ranges(rows * self._stride, self._stride)
            self._fresh[rows] = False
