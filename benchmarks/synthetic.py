"""Data that nobody tuned for, each set from its seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from benchmarks.words import words

Vectors = npt.NDArray[np.float32]
Metric = Literal["cosine", "l2", "ip"]

QUERIES = 200
ROWS = 60_000  # enough for sketch and graph with default settings
FEW_ROWS = 20_000  # from dim 1,024 on, where more would take an hour; graphs are asked for at this size
DIMS = (2, 3, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)


@dataclass(frozen=True)
class DataSet:
    """Rows, queries that are not among them, and the metric."""

    name: str
    metric: Metric
    vectors: Vectors
    queries: Vectors


def kinds() -> Iterator[DataSet]:
    """One set for each kind of data, 100 dimensions."""
    third = words().vectors[::3]
    yield DataSet("every third word", "cosine", third, words().queries[:QUERIES])
    yield DataSet("every third word", "l2", third, words().queries[:QUERIES])
    yield DataSet("every third word", "ip", third, words().queries[:QUERIES])
    yield _split("Gaussian", "l2", gaussian(ROWS, 100, seed=1))
    yield _split("Gaussian", "cosine", gaussian(ROWS, 100, seed=2))
    yield _split("200 clusters", "l2", clustered(ROWS, 100, seed=3))
    yield _split("200 clusters", "cosine", clustered(ROWS, 100, seed=4))
    yield _split("lognormal norms", "l2", lognormal(ROWS, 100, seed=5))
    yield _split("lognormal norms", "ip", lognormal(ROWS, 100, seed=6))
    yield duplicates("cosine")
    yield duplicates("l2")


def dims() -> Iterator[DataSet]:
    """Gaussian clusters in 2 to 4,096 dimensions: neighbours exist, and lists do not just follow the clusters."""
    for dim in DIMS:
        rows = ROWS if dim < 1024 else FEW_ROWS
        yield _split(f"clusters, dim {dim}", "cosine" if dim > 2 else "l2", clustered(rows, dim, seed=dim))


def gaussian(rows: int, dim: int, seed: int) -> Vectors:
    return np.random.default_rng(seed).standard_normal((rows + QUERIES, dim), np.float32)


def clustered(rows: int, dim: int, seed: int, clusters: int = 200) -> Vectors:
    """Clusters of unequal size, each with a spread of its own."""
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((clusters, dim), np.float32)
    spread = rng.uniform(0.1, 0.8, clusters).astype(np.float32)
    sizes = rng.dirichlet(np.ones(clusters))
    members = rng.choice(clusters, rows + QUERIES, p=sizes)
    return centers[members] + spread[members, None] * rng.standard_normal((rows + QUERIES, dim), np.float32)


def lognormal(rows: int, dim: int, seed: int) -> Vectors:
    """Directions at random, lengths lognormal with sigma 1."""
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((rows + QUERIES, dim), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors * rng.lognormal(0.0, 1.0, (rows + QUERIES, 1)).astype(np.float32)


def duplicates(metric: Metric) -> DataSet:
    """20 vectors, each 500 times, in no order; queries lie near them."""
    rng = np.random.default_rng(7)
    originals = rng.standard_normal((20, 128), np.float32)
    rows = np.repeat(originals, 500, axis=0)[rng.permutation(10_000)]
    near = originals[rng.integers(0, 20, QUERIES)] + 0.1 * rng.standard_normal((QUERIES, 128), np.float32)
    return DataSet("20 vectors, 500 times each", metric, rows, near)


def _split(name: str, metric: Metric, vectors: Vectors) -> DataSet:
    return DataSet(name, metric, np.ascontiguousarray(vectors[QUERIES:]), np.ascontiguousarray(vectors[:QUERIES]))
