"""Which lists of a sketch are scanned when not all rows are alive: enough of them, wherever the live rows are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tiervdb.segment.sketch import ListNumbers, Lists
from tiervdb.types import Distances, Mask, Vectors

_GROWTH = 1.5


class LiveLists(NamedTuple):
    """A mask of live rows as a sketch wants it: bits for the scan (None: all rows), and how many each list holds."""

    bits: npt.NDArray[np.uint8] | None
    held: npt.NDArray[np.int64]
    usable: Mask  # the lists that hold one


def probe(
    lists: Lists, ready: Vectors, nprobe: int, live: LiveLists, least: int, spread: bool
) -> tuple[ListNumbers, Distances]:
    """The best lists of each prepared query that have a live row, ``nprobe`` or more: at least ``least`` live rows.

    ``spread``: also as many live rows as that many lists hold on average. A filter that follows position leaves few in
    the lists at its edge, and these are the nearest ones of a query outside of it.
    """
    every = int(np.count_nonzero(live.usable))
    nprobe = min(max(nprobe, 1), every)
    wanted = max(least, int(nprobe * live.held.sum() / max(every, 1))) if spread else least
    usable_only = live.bits is not None or every == len(live.usable)
    while True:
        probed, coarse = lists.probes(ready, nprobe, None if live.bits is None else live.usable)
        if nprobe >= every or not len(ready) or (usable_only and nprobe >= wanted):
            return probed, coarse  # the last: a usable list holds at least one
        if int(live.held[probed].sum(axis=1).min()) >= wanted:
            return probed, coarse
        nprobe = min(every, int(nprobe * _GROWTH) + 1)
