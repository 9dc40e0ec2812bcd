"""Measures what a sketch reaches on its own rows: recall and time over a ladder of parameters.

Some rows are taken as queries, each without itself; the truth is an exact scan of all rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tiervdb.clock import Clock
from tiervdb.segment.calibration import (
    CALIBRATED_K,
    RERANKS,
    TARGET_RECALL,
    SketchCalibration,
    SketchRung,
    hits,
    ladder,
    steps_between,
)
from tiervdb.segment.distance import distances, nearest, pair_distances
from tiervdb.segment.sketch import Lists, prepared
from tiervdb.types import Distances, Metric, Rows, Vectors

FetchVectors = Callable[[Rows], Vectors]
Flags = npt.NDArray[np.bool_]

CHUNK_FLOATS = 4_000_000
_SEED = 90210
_LARGE = 50_000  # rows from which more queries are measured: a sketch that lasts longer may cost more
_QUERIES, _MORE_QUERIES = 128, 512
_TIMED = 16
_EXACT_FLOATS = 2_000_000
_ENOUGH = 0.995
_MOST_CANDIDATES = 500  # of one query in one piece of rows
_SPARE = 6  # truth is looked for beyond k, to see ties and to leave the query's own row out


def chunks(rows: int, dim: int) -> Iterator[Rows]:
    """Row numbers in order, in pieces of bounded size."""
    step = max(1, CHUNK_FLOATS // dim)
    for start in range(0, rows, step):
        yield np.arange(start, min(start + step, rows), dtype=np.int64)


@dataclass(frozen=True)
class Truth:
    """The nearest rows of some queries. ``own``: the rows that the queries are; ``rows``, ``distances``: ``(queries,
    k)``, by true distance; ``tied``: another row is as near as the k-th."""

    queries: Vectors
    own: Rows
    rows: Rows
    distances: Distances
    tied: Flags


def find_truth(metric: Metric, queries: Vectors, own: Rows, known: Rows, fetch: FetchVectors) -> Truth:
    """Scans the ``known`` rows for the ten nearest of each query, its own row left out."""
    wanted = CALIBRATED_K + _SPARE
    names = np.zeros((len(queries), 0), np.int64)
    scores = np.zeros((len(queries), 0), np.float32)
    for part in chunks(len(known), max(queries.shape[1], len(queries))):
        near = distances(metric, queries, fetch(known[part]))
        limit = scores.max(axis=1, initial=-np.inf) if scores.shape[1] == wanted else np.full(len(queries), np.inf)
        found, places = np.divmod(np.flatnonzero(near < limit[:, None]), near.shape[1])
        if len(found) > _MOST_CANDIDATES * len(queries):  # the first piece, or nearly all are equally near
            best = np.argpartition(near, min(wanted, near.shape[1]) - 1, axis=1)[:, :wanted]
            found, places = np.repeat(np.arange(len(queries)), best.shape[1]), best.ravel()
        names, scores = _nearest_of(names, scores, found, known[part][places], near[found, places], wanted)
    return _exact_truth(metric, queries, own, names, fetch)


def _nearest_of(
    names: Rows, scores: Distances, queries: Rows, rows: Rows, near: Distances, count: int
) -> tuple[Rows, Distances]:
    """Merges lines of candidates with single ones, given by query, and keeps the nearest of each query."""
    total = len(names)
    every = np.concatenate([np.repeat(np.arange(total), names.shape[1]), queries])
    rows = np.concatenate([names.ravel(), rows])
    near = np.concatenate([scores.ravel(), near])
    order = np.lexsort((near, every))
    starts = np.searchsorted(every[order], np.arange(total))
    kept = min(count, int(np.bincount(every, minlength=total).min()))
    chosen = order[starts[:, None] + np.arange(kept)]
    return rows[chosen], near[chosen]


def _exact_truth(metric: Metric, queries: Vectors, own: Rows, names: Rows, fetch: FetchVectors) -> Truth:
    exact = np.stack([pair_distances(metric, q, fetch(line)) for q, line in zip(queries, names, strict=True)])
    exact[names == own[:, None]] = np.inf
    order = np.argsort(exact, axis=1, kind="stable")
    names, exact = np.take_along_axis(names, order, 1), np.take_along_axis(exact, order, 1)
    k = min(CALIBRATED_K, int(np.isfinite(exact).sum(axis=1).min()))
    tied = exact[:, k] <= exact[:, k - 1] if exact.shape[1] > k else np.zeros(len(queries), np.bool_)
    return Truth(queries, own, names[:, :k], exact[:, :k], tied)


def calibrate(lists: Lists, fetch: FetchVectors, clock: Clock) -> SketchCalibration:
    """The calibration table of a sketch. ``fetch``: the full vectors of rows."""
    if lists.rows < 2:
        return SketchCalibration(0, (SketchRung(lists.codebook.nlist, RERANKS[0], 1.0, 0.0),))
    climb = _ladder_for(lists, fetch, clock)
    return SketchCalibration(len(climb.truth.own), tuple(climb.climb()), (), climb.exact_time())


def reachable(lists: Lists, fetch: FetchVectors, rerank: int, clock: Clock) -> float:
    """The recall with all lists and that many candidates: what the codes alone cost."""
    if lists.rows < 2:
        return 1.0
    climb = _ladder_for(lists, fetch, clock)
    return climb.recalls(lists.codebook.nlist)[climb.reranks.index(min(rerank, lists.rows - 1))]


def _ladder_for(lists: Lists, fetch: FetchVectors, clock: Clock) -> _Ladder:
    count = min(_MORE_QUERIES if lists.rows >= _LARGE else _QUERIES, lists.rows)
    own = np.sort(np.random.default_rng(_SEED).choice(lists.rows, count, replace=False)).astype(np.int64)
    everything = np.arange(lists.rows, dtype=np.int64)
    return _Ladder(lists, find_truth(lists.codebook.metric, fetch(own), own, everything, fetch), fetch, clock)


class _Ladder:
    """Measures rung by rung, each number of lists with all numbers of candidates."""

    def __init__(self, lists: Lists, truth: Truth, fetch: FetchVectors, clock: Clock) -> None:
        self._lists = lists
        self.truth = truth
        self._fetch = fetch
        self._clock = clock
        self._ready = prepared(lists.codebook.metric, truth.queries)
        self.reranks = sorted({min(r, lists.rows - 1) for r in RERANKS})

    def climb(self) -> list[SketchRung]:
        """Up to where nearly everything is found, and in finer steps around the target."""
        recalls: dict[int, list[float]] = {}
        for nprobe in ladder(self._lists.codebook.nlist):
            recalls[nprobe] = self.recalls(nprobe)
            if recalls[nprobe][-1] >= _ENOUGH:
                break
        below = max((n for n, r in recalls.items() if r[-1] < TARGET_RECALL), default=None)
        above = min((n for n, r in recalls.items() if r[-1] >= TARGET_RECALL), default=None)
        for nprobe in steps_between(below, above):
            recalls[nprobe] = self.recalls(nprobe)
        return self._timed(recalls)

    def _timed(self, recalls: dict[int, list[float]]) -> list[SketchRung]:
        costs = [self._rerank_cost(rerank) for rerank in self.reranks]
        numbers = sorted(recalls)
        scans = [self._scan_time(nprobe) for nprobe in numbers]
        for at in reversed(range(len(scans) - 1)):
            scans[at] = min(scans[at : at + 2])  # more lists cannot take less time: a busy machine disturbed it
        return [
            SketchRung(nprobe, rerank, round(recall, 4), round(scan + cost, 1))
            for nprobe, scan in zip(numbers, scans, strict=True)
            for rerank, recall, cost in zip(self.reranks, recalls[nprobe], costs, strict=True)
        ]

    def recalls(self, nprobe: int) -> list[float]:
        """The recall for each number of candidates."""
        truth = self.truth
        probed, coarse = self._lists.probes(self._ready, nprobe)
        rows, _ = self._lists.scan(self._ready, probed, coarse, self.reranks[-1] + 1)
        rows = _without_own(rows, truth.own)
        found = np.cumsum((rows[:, :, None] == truth.rows[:, None, :]).any(axis=2), axis=1)
        shares = found[:, [r - 1 for r in self.reranks]] / truth.rows.shape[1]
        for query in np.flatnonzero(truth.tied & (shares[:, -1] < 1.0)).tolist():
            shares[query] = self._tied_shares(query, rows[query])
        return [float(share) for share in shares.mean(axis=0)]

    def _tied_shares(self, query: int, rows: Rows) -> list[float]:
        """Where rows are equally near, any of them counts."""
        truth = self.truth
        there = rows[rows >= 0]
        exact = np.full(len(rows), np.inf, np.float32)
        exact[: len(there)] = pair_distances(self._lists.codebook.metric, truth.queries[query], self._fetch(there))
        nearest = [np.sort(exact[:rerank])[None] for rerank in self.reranks]
        return [float(hits(found, truth.distances[query : query + 1])[0]) for found in nearest]

    def _scan_time(self, nprobe: int) -> float:
        """Median microseconds of coarse search and scan of one query, one thread."""
        times = []
        for at in range(min(_TIMED, len(self._ready))):
            query = self._ready[at : at + 1]
            start = self._clock.monotonic()
            probed, coarse = self._lists.probes(query, nprobe)
            self._lists.scan(query, probed, coarse, 30)
            times.append(self._clock.monotonic() - start)
        return float(np.median(times)) * 1e6

    def exact_time(self) -> float:
        """Microseconds of comparing all rows with one query, from some of them."""
        some = np.arange(min(self._lists.rows, max(1, _EXACT_FLOATS // self._lists.codebook.dim)), dtype=np.int64)
        vectors = self._fetch(some)
        times = []
        for query in self.truth.queries[:_TIMED]:
            start = self._clock.monotonic()
            nearest(self._lists.codebook.metric, query[None], vectors, CALIBRATED_K)
            times.append(self._clock.monotonic() - start)
        return round(float(np.median(times)) * 1e6 * self._lists.rows / len(some), 1)

    def _rerank_cost(self, rerank: int) -> float:
        """Median microseconds of fetching and comparing that many full vectors."""
        rng = np.random.default_rng(_SEED)
        times = []
        for at in range(min(_TIMED, len(self._ready))):
            rows = rng.integers(0, self._lists.rows, rerank)
            start = self._clock.monotonic()
            pair_distances(self._lists.codebook.metric, self.truth.queries[at], self._fetch(rows))
            times.append(self._clock.monotonic() - start)
        return float(np.median(times)) * 1e6


def _without_own(rows: Rows, own: Rows) -> Rows:
    """Each line without its own row, or without its last place; one place shorter."""
    left_out = rows == own[:, None]
    left_out[~left_out.any(axis=1), -1] = True
    kept: Rows = rows[~left_out].reshape(len(rows), rows.shape[1] - 1)
    return kept
