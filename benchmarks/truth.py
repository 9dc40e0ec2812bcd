"""Exact neighbours and recall. A hit at the same distance as the k-th true neighbour counts: ties are not misses."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
Distances = npt.NDArray[np.float64]

_CHUNK = 100_000_000  # scores held at once
_SPARE = 20  # candidates of the float32 scan beyond k, to be compared again in float64


def limits(metric: str, vectors: Vectors, queries: Vectors, k: int, rows: Rows | None = None) -> Distances:
    """The distance of each query's k-th true neighbour, float64 ``(queries,)``; among ``rows`` if given."""
    among = vectors if rows is None else vectors[rows]
    count = min(k, len(among))
    out = np.empty(len(queries))
    step = max(1, _CHUNK // len(among))
    for start in range(0, len(queries), step):
        scores = _scores(metric, queries[start : start + step], among)
        wanted = min(len(among), count + _SPARE)
        near = np.argpartition(scores, wanted - 1, axis=1)[:, :wanted]
        for at, candidates in enumerate(near):
            exact = np.sort(exact_distances(metric, queries[start + at], among[candidates]))
            out[start + at] = exact[count - 1]
    return out


def exact_distances(metric: str, query: Vectors, vectors: Vectors) -> Distances:
    """Distances in float64: cosine 1 - cos, l2 squared, ip -dot."""
    wide, other = vectors.astype(np.float64), query.astype(np.float64)
    if metric == "l2":
        difference = wide - other
        return np.einsum("ij,ij->i", difference, difference)
    products = wide @ other
    if metric == "ip":
        return -products
    return 1.0 - products / (np.linalg.norm(wide, axis=1) * np.linalg.norm(other))


def recall(metric: str, vectors: Vectors, queries: Vectors, found: list[Rows], limit: Distances, k: int) -> float:
    """The share of the k true neighbours that were found, ties at the k-th distance counted as hits."""
    hits = 0
    for query, rows, worst in zip(queries, found, limit, strict=True):
        exact = exact_distances(metric, query, vectors[np.unique(rows)])
        hits += min(k, int((exact <= worst + 1e-6 * abs(worst) + 1e-7).sum()))
    return hits / (k * len(queries))


def _scores(metric: str, queries: Vectors, vectors: Vectors) -> npt.NDArray[np.float32]:
    products = queries @ vectors.T
    if metric == "ip":
        return -products
    if metric == "cosine":
        return -products / np.linalg.norm(vectors, axis=1)
    return np.einsum("ij,ij->i", vectors, vectors)[None] - 2.0 * products
