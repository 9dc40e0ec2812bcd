"""Measures how many lists a filtered search must probe.

Filters are of two kinds: at random, and balls around another row, which leave matches only in some lists, perhaps far
from the query. A fixed number of lists that serves the first kind fails with the second.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from tiervdb.segment.calibration import CALIBRATED_K, TARGET_RECALL, FilteredRung
from tiervdb.segment.distance import distances
from tiervdb.segment.measure import FetchVectors
from tiervdb.segment.sketch import Lists, prepared
from tiervdb.types import Distances, Mask, Rows

_SEED = 60601
_SHARES = (0.5, 0.1, 0.02, 0.005)
_CELLS = 12_000_000  # queries x rows that are looked at
_MOST_QUERIES, _LEAST_QUERIES = 64, 24
_CHUNK = 65_536


def calibrate_filtered(lists: Lists, fetch: FetchVectors) -> Iterator[FilteredRung]:
    """For each share of matching rows: the lists, among those with a match, that hold nearly all nearest matches."""
    if lists.rows < 4 * CALIBRATED_K:
        return
    metric = lists.codebook.metric
    rng = np.random.default_rng(_SEED)
    count = min(lists.rows, _MOST_QUERIES, max(_LEAST_QUERIES, _CELLS // lists.rows))
    queries = fetch(np.sort(rng.choice(lists.rows, count, replace=False)).astype(np.int64))
    looked = _looked_at(lists, count)
    parts = [looked[start : start + _CHUNK] for start in range(0, len(looked), _CHUNK)]
    near = np.concatenate([distances(metric, queries, fetch(part)) for part in parts], axis=1)
    place = np.repeat(np.arange(len(lists.sizes)), lists.sizes)[looked]
    ranks = lists.ranks(prepared(metric, queries))
    for share in _SHARES:
        random = [_needed(near[q], rng.random(len(looked)) < share, place, ranks[q]) for q in range(count)]
        balls = [_needed(near[q], _ball(near[q - 1], share), place, ranks[q]) for q in range(count)]
        worst = [float(np.quantile(np.concatenate(n), TARGET_RECALL)) for n in (random, balls) if sum(map(len, n))]
        if worst:
            yield FilteredRung(share, int(np.ceil(max(worst))))


def _looked_at(lists: Lists, queries: int) -> Rows:
    """All rows; of huge segments evenly spaced ones, which errs on the side of more lists."""
    step = -(-lists.rows * queries // (4 * _CELLS))
    return np.arange(0, lists.rows, step, dtype=np.int64)


def _ball(near: Distances, share: float) -> Mask:
    size = min(len(near), max(CALIBRATED_K, round(share * len(near))))
    within: Mask = near <= np.partition(near, size - 1)[size - 1]
    return within


def _needed(near: Distances, mask: Mask, place: Rows, ranks: npt.NDArray[np.int64]) -> Rows:
    """For each of the ten nearest matches: how many of the lists with a match come up to its own."""
    matches = np.flatnonzero(mask)
    if len(matches) < CALIBRATED_K:
        return np.zeros(0, np.int64)
    best = matches[np.argpartition(near[matches], CALIBRATED_K - 1)[:CALIBRATED_K]]
    used = np.zeros(len(ranks), np.bool_)
    used[ranks[place[matches]]] = True
    needed: Rows = np.cumsum(used, dtype=np.int64)[ranks[place[best]]]
    return needed
