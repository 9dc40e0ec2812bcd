"""Distances between vectors. Smaller is nearer: cosine 1 - cos, l2 squared, ip -dot.

Scans compute in float32 by matrix products; what is returned as an answer was computed again in float64, pair by pair,
so it does not depend on the tier, the batch or the chunk that a row was found in.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tiervdb.types import Distances, Metric, Rows, Vectors

CHUNK_FLOATS = 8_000_000  # of scores or of converted vectors held at once
_EPS = float(np.finfo(np.float32).eps)
_HUGE = float(np.finfo(np.float32).max)
_TINY = float(np.finfo(np.float64).tiny)
_LEAST_LENGTH, _MOST_LENGTH = 1e-12, 1e12  # of vectors whose squares are surely within float32

Norms = npt.NDArray[np.float32]


def row_norms(vectors: Vectors) -> Norms:
    """The length of each vector, float32 ``(rows,)``."""
    with np.errstate(over="ignore"):
        norms: Norms = np.sqrt(np.vecdot(vectors, vectors))
    return norms


def normalised(vectors: Vectors) -> Vectors:
    """The vectors at length 1; zero vectors stay zero. Very long and very short ones keep their direction."""
    if len(vectors) == 1:  # the plain form is the faster one
        length = float(np.vecdot(vectors[0], vectors[0])) ** 0.5
        if _LEAST_LENGTH < length < _MOST_LENGTH:
            return vectors * np.float32(1.0 / length)
    top = np.abs(vectors).max(axis=1, initial=0.0, keepdims=True)
    scaled: Vectors = np.divide(vectors, top, out=np.zeros_like(vectors), where=top > 0)
    norms = row_norms(scaled)[:, None]
    np.divide(scaled, norms, out=scaled, where=norms > 0)
    return scaled


def distances(metric: Metric, queries: Vectors, vectors: Vectors, norms: Norms | None = None) -> Distances:
    """All distances, float32 ``(queries, rows)``. ``norms``: those of the vectors, if they are known.

    l2 between near vectors is computed from their differences, since the expanded form cancels there.
    """
    scores = _scores(metric, queries, vectors, norms)
    if metric != "l2":
        return scores
    size = np.square(row_norms(queries))[:, None] + np.square(row_norms(vectors) if norms is None else norms)[None]
    for query, near in enumerate(~(scores > 1e-2 * size)):
        rows = np.flatnonzero(near)
        scores[query, rows] = pair_distances(metric, queries[query], vectors[rows])
    return scores


def pair_distances(metric: Metric, query: Vectors, vectors: Vectors) -> Distances:
    """The distance of one query ``(dim,)`` to each of the vectors, float32 ``(rows,)``, from float64 arithmetic.

    A row's distance does not depend on the other rows.
    """
    step = max(1, CHUNK_FLOATS // max(1, vectors.shape[1]))
    if len(vectors) > step:
        parts = [pair_distances(metric, query, vectors[at : at + step]) for at in range(0, len(vectors), step)]
        return np.concatenate(parts)
    wide = vectors.astype(np.float64)
    wide_query = query.astype(np.float64)
    if metric == "cosine":
        lengths = np.vecdot(wide, wide) * np.vecdot(wide_query, wide_query)
        cosines = np.vecdot(wide, wide_query) / np.sqrt(np.maximum(lengths, _TINY))
        found = np.maximum(1.0 - cosines, 0.0)
    elif metric == "l2":
        wide -= wide_query
        found = np.minimum(np.vecdot(wide, wide), _HUGE)
    else:
        found = np.clip(-np.vecdot(wide, wide_query), -_HUGE, _HUGE)
    answer: Distances = found.astype(np.float32)
    return answer


def ordered(distances: Distances, rows: Rows, k: int) -> tuple[Distances, Rows]:
    """The k nearest of one query's candidates by (distance, row)."""
    order = np.lexsort((rows, distances))[:k]
    return distances[order], rows[order]


def nearest(
    metric: Metric, queries: Vectors, vectors: Vectors, k: int, norms: Norms | None = None
) -> tuple[Distances, Rows]:
    """The exact k nearest rows of each query: distances and rows ``(queries, min(k, rows))``, ties by row number.

    A float32 scan leaves every row that its rounding could hide; those are computed again pair by pair.
    """
    k = min(k, len(vectors))
    out = (np.full((len(queries), k), np.inf, np.float32), np.full((len(queries), k), -1, np.int64))
    if not k:
        return out
    if norms is None:
        norms = row_norms(vectors)
    step = max(1, min(len(queries), CHUNK_FLOATS // len(vectors)))
    for start in range(0, len(queries), step):
        part = queries[start : start + step]
        scores = _scores(metric, part, vectors, norms)
        slack = _rounding(metric, part, norms)
        for at, line in enumerate(scores):
            rows = _within(line, k, slack[at])
            exact = pair_distances(metric, part[at], vectors[rows])
            out[0][start + at], out[1][start + at] = ordered(exact, rows, k)
    return out


def _scores(metric: Metric, queries: Vectors, vectors: Vectors, norms: Norms | None) -> Distances:
    with np.errstate(over="ignore", invalid="ignore"):
        scores = _products(queries, vectors)
        if metric == "ip":
            return np.negative(scores, out=scores)
        if norms is None:
            norms = row_norms(vectors)
        if metric == "cosine":
            inverse = np.float32(-1.0) / np.maximum(norms, np.finfo(np.float32).tiny)
            scores *= inverse
            scores *= (np.float32(1.0) / np.maximum(row_norms(queries), np.finfo(np.float32).tiny))[:, None]
            scores += np.float32(1.0)
        else:
            scores *= np.float32(-2.0)
            scores += np.square(norms)
            scores += np.square(row_norms(queries))[:, None]
        return np.maximum(scores, np.float32(0.0), out=scores)


def _products(queries: Vectors, vectors: Vectors) -> Distances:
    """Dot products. BLAS would start threads for a single query, and waits long for them on a busy machine."""
    if len(queries) == 1:
        line: Distances = np.einsum("ij,j->i", vectors, queries[0])
        return line[None]
    products: Distances = queries @ vectors.T
    return products


def _rounding(metric: Metric, queries: Vectors, norms: Norms) -> npt.NDArray[np.float64]:
    """How far a float32 score can be from the truth, one number a query; twice, since two scores are compared."""
    terms = 2.0 * _EPS * (queries.shape[1] + 8)
    if metric == "cosine":
        return np.full(len(queries), 2.0 * terms)
    lengths = row_norms(queries).astype(np.float64)
    longest = float(norms.max())
    with np.errstate(over="ignore"):
        return np.asarray(terms * (lengths * longest if metric == "ip" else np.square(lengths + longest)))


def _within(line: Distances, k: int, slack: float) -> Rows:
    """The rows whose score is at most the k-th plus the rounding; all where the scores left float32's range."""
    if k < len(line) and np.isfinite(slack):
        limit = float(np.partition(line, k - 1)[k - 1]) + float(slack)
        if np.isfinite(limit):
            rows = np.flatnonzero(line <= limit)
            if len(rows) >= k:
                return rows
    return np.arange(len(line))
