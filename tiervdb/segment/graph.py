"""HNSW graphs (Malkov and Yashunin, 2016), by hnswlib.

A graph is built, saved, and from then on only read: views share it. hnswlib's ``mark_deleted`` and ``set_ef`` change
what others search at the same time, so dead rows are masked afterwards, and the size of the candidate list is asked
for as k. Vectors are normalised for cosine and searched by inner product.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hnswlib as _hnswlib
import numpy as np

from tiervdb.clock import Clock
from tiervdb.segment.calibration import CALIBRATED_K, EFS, GraphCalibration, GraphRung, hits
from tiervdb.segment.distance import normalised, pair_distances
from tiervdb.segment.measure import FetchVectors, find_truth
from tiervdb.types import Metric, Rows, Vectors

hnswlib: Any = _hnswlib

M = 16
EF_CONSTRUCTION = 200
MEASURED_ROWS = 256
LEAST_MEASURED = 32  # fewer tell nothing new about a graph that was measured before
_SEED = 31415
_ENOUGH = 0.999
_MOSTLY_TIED = 0.25  # of the queries: among duplicates a graph falls into parts, which its own rows don't show


class Graph:
    """A finished graph. ``labels``: the row of each of the graph's numbers, -1 for rows that are gone; None: the same.

    Safe for threads; searching releases the GIL.
    """

    def __init__(self, index: Any, metric: Metric, labels: Rows | None) -> None:
        self._index = index
        self._metric = metric
        self._labels = labels
        self._whole = labels is None or bool((labels >= 0).all())
        self.size = int(index.get_current_count())

    @staticmethod
    def load(path: Path, metric: Metric, dim: int, size: int, labels: Rows | None) -> Graph:
        """Loads a graph of ``size`` vectors that ``save`` wrote. The caller has checked the file's checksum."""
        index = hnswlib.Index(_space(metric), dim)
        index.load_index(str(path), max_elements=size)
        return Graph(index, metric, labels)

    def holds(self, numbers: Rows, vectors: Vectors) -> bool:
        """Whether these of its numbers were added with these vectors."""
        ready = normalised(vectors) if self._metric == "cosine" else vectors
        return np.allclose(np.asarray(self._index.get_items(numbers), np.float32), ready, rtol=1e-5, atol=1e-6)

    def search(self, queries: Vectors, ef: int, threads: int = 1, enough: int | None = None) -> Rows | None:
        """The best ``ef`` rows of each query, nearest first, int64 ``(queries, min(ef, size))``; -1 for rows that are
        gone. None if the graph cannot reach that many: its parts hang together badly, say among duplicates.

        ``enough``: as many will do if no row is gone.
        """
        ready = normalised(queries) if self._metric == "cosine" else queries
        try:
            numbers = self._index.knn_query(ready, k=min(ef, self.size), num_threads=threads)[0]
        except RuntimeError:  # hnswlib's only way to say so
            return None
        if enough is not None and self._whole:
            numbers = numbers[:, :enough]  # looking up labels is not free
        rows: Rows = numbers.view(np.int64)
        return rows if self._labels is None else self._labels[rows]


def _space(metric: Metric) -> str:
    return "l2" if metric == "l2" else "ip"


class GraphBuilder:
    """Collects vectors in a graph that nobody searches yet."""

    def __init__(self, metric: Metric, dim: int, capacity: int) -> None:
        self._metric = metric
        self._index = hnswlib.Index(_space(metric), dim)
        self._index.init_index(capacity, M=M, ef_construction=EF_CONSTRUCTION, random_seed=_SEED)

    @staticmethod
    def extending(path: Path, metric: Metric, dim: int, capacity: int) -> GraphBuilder:
        """Continues a saved graph: the file is read, not changed."""
        builder = GraphBuilder.__new__(GraphBuilder)
        builder._metric = metric
        builder._index = hnswlib.Index(_space(metric), dim)
        builder._index.load_index(str(path), max_elements=capacity)
        return builder

    @property
    def size(self) -> int:
        return int(self._index.get_current_count())

    def add(self, vectors: Vectors, numbers: Rows, threads: int) -> None:
        """Adds vectors under these numbers, which are free yet and less than the capacity."""
        ready = normalised(vectors) if self._metric == "cosine" else vectors
        self._index.add_items(ready, numbers, num_threads=threads)

    def save(self, path: Path) -> None:
        """Writes the graph. Neither synced nor atomic: the caller stages the file."""
        self._index.save_index(str(path))

    def graph(self, labels: Rows | None) -> Graph:
        """What was added so far, for measuring. It must not be searched while more is added."""
        return Graph(self._index, self._metric, labels)


def measure(
    graph: Graph, metric: Metric, new: Rows, known: Rows, fetch: FetchVectors, clock: Clock
) -> GraphCalibration:
    """Recall and time over a ladder of ef. ``new``: rows that the graph does not hold yet, taken as queries; its own
    would give too high a recall. ``known``: the rows it holds. No rung where most rows have duplicates."""
    if not len(new) or not len(known):
        return GraphCalibration(0, (GraphRung(EFS[-1], 1.0, 0.0),))
    queries = fetch(new)
    known_nearest = find_truth(metric, queries, new, known, fetch)
    if known_nearest.tied.mean() > _MOSTLY_TIED:
        return GraphCalibration(len(queries), ())
    truth = known_nearest.distances
    rungs = []
    for ef in EFS:
        times, found = [], np.full((len(queries), truth.shape[1]), np.inf, np.float32)
        for at in range(len(queries)):
            start = clock.monotonic()
            rows = graph.search(queries[at : at + 1], max(ef, CALIBRATED_K))
            if rows is None:
                continue
            best = rows[0][: CALIBRATED_K + 6]
            exact = np.sort(pair_distances(metric, queries[at], fetch(best)))[: truth.shape[1]]
            times.append(clock.monotonic() - start)
            found[at, : len(exact)] = exact
        recall = float(hits(found, truth).mean())
        rungs.append(GraphRung(ef, round(recall, 4), round(float(np.median(times or [0.0])) * 1e6, 1)))
        if recall >= _ENOUGH or ef >= graph.size:
            break
    return GraphCalibration(len(queries), tuple(rungs))
