"""Bitmaps of filters that were evaluated before, packed to a bit a row, under a byte budget."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable

import numpy as np
import numpy.typing as npt

from tiervdb.types import Mask


class Bitmaps:
    """Masks by key; the ones used last stay. Thread-safe."""

    def __init__(self, budget_bytes: int) -> None:
        self._budget = budget_bytes
        self._packed: OrderedDict[Hashable, tuple[npt.NDArray[np.uint8], int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        return self._bytes

    def get(self, key: Hashable) -> Mask | None:
        with self._lock:
            found = self._packed.get(key)
            if found is None:
                return None
            self._packed.move_to_end(key)
        packed, rows = found
        return np.unpackbits(packed, count=rows).view(np.bool_)

    def put(self, key: Hashable, mask: Mask) -> None:
        """Keeps a mask; of two under one key the longer one."""
        packed = np.packbits(mask)
        with self._lock:
            before = self._packed.get(key)
            if before is not None:
                if before[1] >= len(mask):
                    return
                self._bytes -= self._packed.pop(key)[0].nbytes
            self._packed[key] = (packed, len(mask))
            self._bytes += packed.nbytes
            while self._bytes > self._budget:
                _, (old, _) = self._packed.popitem(last=False)
                self._bytes -= old.nbytes
