"""Append-only numpy columns that can be read while they grow."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


class Growable:
    """A numpy array that grows at its end.

    ``view(n)`` is the first n entries. A reader may keep it: growing copies to a new buffer, so what a view shows
    never moves. One thread appends at a time.
    """

    __slots__ = ("_buffer", "size")

    def __init__(self, dtype: npt.DTypeLike, width: int | None = None) -> None:
        shape = (64,) if width is None else (64, width)
        self._buffer: npt.NDArray[Any] = np.empty(shape, dtype)
        self.size = 0

    def extend(self, values: npt.ArrayLike, count: int) -> None:
        """Appends ``count`` values; a scalar is repeated."""
        end = self.size + count
        if end > len(self._buffer):
            grown = np.empty((max(end, 2 * len(self._buffer)), *self._buffer.shape[1:]), self._buffer.dtype)
            grown[: self.size] = self._buffer[: self.size]
            self._buffer = grown
        self._buffer[self.size : end] = values
        self.size = end

    def view(self, count: int | None = None) -> npt.NDArray[Any]:
        """The first ``count`` entries (all of them by default), not a copy."""
        return self._buffer[: self.size if count is None else count]
