"""Measures what a sketch reaches on its own rows: recall and time over a ladder of parameters.

Some rows are taken as queries, each without itself; the truth is an exact scan of all rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from tiervdb.clock import Clock
from tiervdb.segment.calibration import (
    CALIBRATED_K,
    RERANKS,
    FilteredRung,
    SketchCalibration,
    SketchRung,
    hits,
    ladder,
)
from tiervdb.segment.distance import distances, pair_distances
from tiervdb.segment.sketch import Lists, prepared
from tiervdb.types import Distances, Metric, Rows, Vectors

FetchVectors = Callable[[Rows], Vectors]

CHUNK_FLOATS = 4_000_000
_SEED = 90210
_LARGE = 50_000  # rows from which more queries are measured
_SHARES = (0.5, 0.1, 0.02)
_FILTER_CELLS = 16_000_000  # queries x rows that the filtered measurement looks at
_TIMED = 24
_ENOUGH = 0.999


def chunks(rows: int, dim: int) -> Iterator[Rows]:
    """Row numbers in order, in pieces of bounded size."""
    step = max(1, CHUNK_FLOATS // dim)
    for start in range(0, rows, step):
        yield np.arange(start, min(start + step, rows), dtype=np.int64)


def calibrate(lists: Lists, fetch: FetchVectors, clock: Clock) -> SketchCalibration:
    """The calibration table of a sketch. ``fetch``: the full vectors of rows."""
    metric, dim = lists.codebook.metric, lists.codebook.dim
    if lists.rows < 2:
        return SketchCalibration(0, (SketchRung(lists.codebook.nlist, RERANKS[0], 1.0, 0.0),))
    count = min(256 if lists.rows >= _LARGE else 128, lists.rows)
    own = np.sort(np.random.default_rng(_SEED).choice(lists.rows, count, replace=False)).astype(np.int64)
    queries = fetch(own)
    truth = _truth(metric, queries, own, fetch, lists.rows, dim)
    rungs = _rungs(lists, queries, own, truth, fetch, clock)
    return SketchCalibration(count, tuple(rungs), tuple(_filtered(lists, queries, fetch)))


def _truth(metric: Metric, queries: Vectors, own: Rows, fetch: FetchVectors, rows: int, dim: int) -> Distances:
    """The true distances of the nearest ten rows of each query, itself left out."""
    best = np.full((len(queries), CALIBRATED_K), np.inf, np.float32)
    names = np.zeros((len(queries), CALIBRATED_K), np.int64)
    for part in chunks(rows, max(dim, len(queries))):
        found = distances(metric, queries, fetch(part))
        _leave_out(found, own, part)
        both = np.concatenate([best, found], axis=1)
        nearest = np.argpartition(both, CALIBRATED_K - 1, axis=1)[:, :CALIBRATED_K]
        known = nearest < CALIBRATED_K
        names = np.where(
            known, np.take_along_axis(names, np.where(known, nearest, 0), 1), part[0] + nearest - CALIBRATED_K
        )
        best = np.take_along_axis(both, nearest, 1)
    count = min(CALIBRATED_K, rows - 1)
    order = np.argsort(best, axis=1)[:, :count]
    names = np.take_along_axis(names, order, 1)
    return np.stack([pair_distances(metric, query, fetch(line)) for query, line in zip(queries, names, strict=True)])


def _leave_out(found: Distances, own: Rows, part: Rows) -> None:
    here = np.flatnonzero((own >= part[0]) & (own <= part[-1]))
    found[here, own[here] - part[0]] = np.inf


def _rungs(
    lists: Lists, queries: Vectors, own: Rows, truth: Distances, fetch: FetchVectors, clock: Clock
) -> Iterator[SketchRung]:
    ready = prepared(lists.codebook.metric, queries)
    deepest = min(RERANKS[-1], lists.rows - 1)
    reranks = sorted({min(r, deepest) for r in RERANKS})
    costs = _rerank_costs(lists, queries, fetch, clock, reranks)
    for nprobe in ladder(lists.codebook.nlist):
        probed, coarse = lists.probes(ready, nprobe)
        rows, _ = lists.scan(ready, probed, coarse, deepest + 1)
        exact = _true_distances(lists.codebook.metric, queries, own, rows, fetch)
        scan_time = _scan_time(lists, ready, nprobe, clock)
        for rerank in reranks:
            recall = float(hits(_smallest(exact[:, :rerank], truth.shape[1]), truth).mean())
            yield SketchRung(nprobe, rerank, round(recall, 4), round(scan_time + costs[rerank], 1))
        if recall >= _ENOUGH:
            return


def _true_distances(metric: Metric, queries: Vectors, own: Rows, rows: Rows, fetch: FetchVectors) -> Distances:
    """True distances in the order of the approximate ones, each query's own row left out, padded by inf."""
    exact = np.full((len(rows), rows.shape[1] - 1), np.inf, np.float32)
    for at, line in enumerate(rows):
        found = line[(line >= 0) & (line != own[at])][: exact.shape[1]]
        exact[at, : len(found)] = pair_distances(metric, queries[at], fetch(found))
    return exact


def _smallest(found: Distances, k: int) -> Distances:
    return np.sort(found, axis=1)[:, :k]


def _scan_time(lists: Lists, ready: Vectors, nprobe: int, clock: Clock) -> float:
    """Median microseconds of coarse search and scan of one query, one thread."""
    times = []
    for at in range(min(_TIMED, len(ready))):
        query = ready[at : at + 1]
        start = clock.monotonic()
        probed, coarse = lists.probes(query, nprobe)
        lists.scan(query, probed, coarse, 30)
        times.append(clock.monotonic() - start)
    return float(np.median(times)) * 1e6


def _rerank_costs(
    lists: Lists, queries: Vectors, fetch: FetchVectors, clock: Clock, reranks: list[int]
) -> dict[int, float]:
    """Median microseconds of fetching and comparing that many full vectors."""
    rng = np.random.default_rng(_SEED)
    costs = {}
    for rerank in reranks:
        times = []
        for at in range(min(8, len(queries))):
            rows = rng.integers(0, lists.rows, rerank)
            start = clock.monotonic()
            pair_distances(lists.codebook.metric, queries[at], fetch(rows))
            times.append(clock.monotonic() - start)
        costs[rerank] = float(np.median(times)) * 1e6
    return costs


def _filtered(lists: Lists, queries: Vectors, fetch: FetchVectors) -> Iterator[FilteredRung]:
    """How many lists hold 98% of the nearest matches, under filters at random and filters that are balls elsewhere."""
    count = min(len(queries), max(8, _FILTER_CELLS // lists.rows))
    step = -(-lists.rows * count // (4 * _FILTER_CELLS))  # of huge segments only every so many-th row is looked at
    looked = np.arange(0, lists.rows, step, dtype=np.int64)
    some = queries[np.linspace(0, len(queries) - 1, count).astype(int)]
    parts = [looked[a : a + 65_536] for a in range(0, len(looked), 65_536)]
    near = np.concatenate([distances(lists.codebook.metric, some, fetch(part)) for part in parts], axis=1)
    place = np.repeat(np.arange(len(lists.sizes)), lists.sizes)[looked]
    ranks = lists.ranks(prepared(lists.codebook.metric, some))
    rng = np.random.default_rng(_SEED)
    for share in _SHARES:
        needed = [
            part
            for at in range(count)
            for mask in (rng.random(len(looked)) < share, _ball(near[(at + 1) % count], share))
            for part in [_needed(near[at], mask, place, ranks[at])]
        ]
        random, balls = np.concatenate(needed[0::2]), np.concatenate(needed[1::2])
        if len(random) and len(balls):
            worst = max(float(np.quantile(random, 0.98)), float(np.quantile(balls, 0.98)))
            yield FilteredRung(share, int(np.ceil(worst)))


def _ball(near: Distances, share: float) -> npt.NDArray[np.bool_]:
    size = min(len(near), max(CALIBRATED_K, round(share * len(near))))
    within: npt.NDArray[np.bool_] = near <= np.partition(near, size - 1)[size - 1]
    return within


def _needed(near: Distances, mask: npt.NDArray[np.bool_], place: Rows, ranks: Rows) -> Rows:
    """For each of the ten nearest matches: how many of the lists with a match come up to its own."""
    matches = np.flatnonzero(mask)
    if len(matches) < CALIBRATED_K:
        return np.zeros(0, np.int64)
    best = matches[np.argpartition(near[matches], CALIBRATED_K - 1)[:CALIBRATED_K]]
    used = np.zeros(len(ranks), np.bool_)
    used[ranks[place[matches]]] = True
    needed: Rows = np.cumsum(used, dtype=np.int64)[ranks[place[best]]]
    return needed
