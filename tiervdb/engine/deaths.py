"""Deaths of segment rows that no manifest holds yet, in the order of their seqs."""

from __future__ import annotations

import numpy as np

from tiervdb.engine.growable import Growable
from tiervdb.types import Mask, Rows


class DeathLog:
    """Which rows of one segment died, and at which seq. Appended to under the commit lock only."""

    __slots__ = ("_rows", "_seqs")

    def __init__(self) -> None:
        self._rows = Growable(np.int64)
        self._seqs = Growable(np.uint64)

    def __len__(self) -> int:
        return self._rows.size

    def add(self, rows: Rows, seqs: int | np.ndarray) -> None:
        """Appends deaths; seqs never fall."""
        self._rows.extend(rows, len(rows))
        self._seqs.extend(seqs, len(rows))

    def count_until(self, seq: int) -> int:
        """How many deaths have a seq of at most ``seq``: they are the first ones."""
        seqs = self._seqs.view()
        if not len(seqs) or seqs[-1] <= seq:
            return len(seqs)
        return int(np.searchsorted(seqs, np.uint64(seq), side="right"))

    def rows(self, count: int | None = None) -> Rows:
        return self._rows.view(count)

    def seqs(self) -> np.ndarray:
        return self._seqs.view()


def mark(dead: Mask | None, size: int, *deaths: Rows) -> Mask | None:
    """A copy of ``dead`` (None: nothing is) with the rows of ``deaths`` marked; None if nothing is dead."""
    if dead is None and not any(len(rows) for rows in deaths):
        return None
    marked = np.zeros(size, np.bool_) if dead is None else dead.copy()
    for rows in deaths:
        marked[rows] = True
    return marked
