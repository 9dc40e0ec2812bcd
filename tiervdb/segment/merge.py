"""Pure top-k: the nearest of many candidates. Ties go to the smaller source, then to the smaller row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tiervdb.types import Distances, Rows

MISSING = -1


@dataclass(frozen=True)
class Merged:
    """The nearest candidates, nearest first, ``(queries, min(k, candidates))``.

    Where a query has fewer, its last places have source -1, row -1 and distance inf.
    """

    sources: Rows
    rows: Rows
    distances: Distances


def merge(found: Sequence[tuple[int | Rows, Rows, Distances]], k: int) -> Merged:
    """Merges the candidates of several sources.

    ``found``: (number of the source, or one for each row; rows; distances), arrays ``(queries, any)`` in any order;
    row -1 is no candidate.
    All have the same number of queries. NaN counts as farthest.
    """
    if len(found[0][1]) == 1:
        return _of_one(found, k)
    rows = np.concatenate([rows for _, rows, _ in found], axis=1)
    distances = np.concatenate([distances for _, _, distances in found], axis=1).astype(np.float32, copy=False)
    sources = np.concatenate([np.broadcast_to(np.asarray(number, np.int64), r.shape) for number, r, _ in found], axis=1)
    order = np.lexsort((rows, sources, distances, rows == MISSING), axis=-1)[:, :k]
    best = np.take_along_axis(rows, order, axis=1)
    missing = best == MISSING
    return Merged(
        np.where(missing, MISSING, np.take_along_axis(sources, order, axis=1)),
        best,
        np.where(missing, np.float32(np.inf), np.take_along_axis(distances, order, axis=1)),
    )


def _of_one(found: Sequence[tuple[int | Rows, Rows, Distances]], k: int) -> Merged:
    """One query: the plain form is several times faster."""
    rows = np.concatenate([rows[0] for _, rows, _ in found])
    distances = np.concatenate([distances[0] for _, _, distances in found]).astype(np.float32, copy=False)
    sources = np.concatenate([n[0] if isinstance(n, np.ndarray) else np.full(r.shape[1], n) for n, r, _ in found])
    order = np.lexsort((rows, sources, distances, rows == MISSING))[:k]
    rows, sources, distances = rows[order], sources[order], distances[order]
    missing = rows == MISSING
    if missing.any():
        sources[missing], distances[missing] = MISSING, np.inf
    return Merged(sources[None], rows[None], distances[None])


def top_k(distances: Distances, k: int) -> tuple[Rows, Distances]:
    """The k smallest distances of each line of ``(queries, rows)``, and their rows, nearest first.

    Both ``(queries, min(k, rows))``. Of rows at the same distance the smaller ones come first, also at the k-th place.
    """
    queries, count = distances.shape
    kept = min(k, count)
    rows = np.empty((queries, kept), np.int64)
    for query in range(queries):
        rows[query] = _smallest(distances[query], kept)
    return rows, np.take_along_axis(distances, rows, axis=1)


def _smallest(line: Distances, k: int) -> Rows:
    if not k:
        return np.empty(0, np.int64)
    if k >= len(line):
        return np.argsort(line, kind="stable")
    candidates = np.flatnonzero(_at_most(line, np.partition(line, k - 1)[k - 1]))
    return candidates[np.argsort(line[candidates], kind="stable")][:k]


def _at_most(line: Distances, limit: np.float32) -> npt.NDArray[np.bool_]:
    """NaN, which sorts last, is within the limit only where the limit is NaN itself."""
    within: npt.NDArray[np.bool_] = line <= limit if not np.isnan(limit) else np.ones(len(line), np.bool_)
    return within
