from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.segment.vector_data import METRICS, gaussian
from tiervdb.segment.distance import distances, nearest, normalised, ordered, pair_distances, row_norms
from tiervdb.types import Metric, Vectors


def reference(metric: Metric, queries: Vectors, vectors: Vectors) -> np.ndarray:
    q, v = queries.astype(np.float64), vectors.astype(np.float64)
    if metric == "l2":
        return ((q[:, None] - v[None]) ** 2).sum(-1)
    products = q @ v.T
    if metric == "ip":
        return -products
    return 1 - products / (np.linalg.norm(q, axis=1)[:, None] * np.linalg.norm(v, axis=1))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dim", [1, 2, 7, 100, 1025])
def test_distances_are_the_definitions(metric: Metric, dim: int) -> None:
    queries, vectors = gaussian(5, dim), gaussian(40, dim, seed=2)
    truth = reference(metric, queries, vectors)
    assert np.allclose(distances(metric, queries, vectors), truth, rtol=2e-4, atol=1e-4)
    for query, line in zip(queries, truth, strict=True):
        assert np.allclose(pair_distances(metric, query, vectors), line, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_a_vector_is_at_distance_zero_from_itself_even_far_from_the_origin(metric: Metric) -> None:
    vectors = gaussian(50, 64) + 1000
    own = np.diag(distances(metric, vectors, vectors))
    assert (own >= 0).all()
    assert own.max() < 1e-6
    assert all(pair_distances(metric, v, v[None])[0] < 1e-7 for v in vectors)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("queries", [1, 3])
def test_nearest_is_exact_and_ordered_by_distance_then_row(metric: Metric, queries: int) -> None:
    vectors = np.repeat(gaussian(60, 10), 5, axis=0)  # every distance occurs five times
    asked = gaussian(queries, 10, seed=7)
    found, rows = nearest(metric, asked, vectors, 12)
    for at, query in enumerate(asked):
        every = pair_distances(metric, query, vectors)
        order = np.lexsort((np.arange(len(vectors)), every))[:12]
        assert rows[at].tolist() == order.tolist()
        assert found[at].tolist() == every[order].tolist()


@pytest.mark.parametrize("metric", METRICS)
def test_nearest_gives_the_same_bits_alone_and_in_a_batch(metric: Metric) -> None:
    vectors, asked = gaussian(500, 33), gaussian(20, 33, seed=7)
    together = nearest(metric, asked, vectors, 10)
    for at in range(len(asked)):
        alone = nearest(metric, asked[at : at + 1], vectors, 10, row_norms(vectors))
        assert alone[0].tobytes() == together[0][at].tobytes()
        assert alone[1].tobytes() == together[1][at].tobytes()


def test_nearest_of_fewer_rows_than_k_is_all_of_them() -> None:
    found, rows = nearest("l2", gaussian(2, 3), gaussian(4, 3, seed=8), 10)
    assert found.shape == rows.shape == (2, 4)
    assert sorted(rows[0].tolist()) == [0, 1, 2, 3]
    assert nearest("l2", gaussian(2, 3), gaussian(0, 3), 10)[1].shape == (2, 0)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e12, 1e30])
def test_very_long_and_very_short_vectors_are_ranked_right(metric: Metric, scale: float) -> None:
    vectors = gaussian(100, 8) * np.float32(scale)
    found, rows = nearest(metric, vectors[:3], vectors, 5)
    assert np.isfinite(found).all()
    if metric == "cosine":
        assert rows[:, 0].tolist() == [0, 1, 2]


def test_rounding_never_hides_a_near_row() -> None:
    """Rows whose squared lengths swamp the differences between them in float32."""
    base = np.full((1, 16), 4096, np.float32)
    steps = np.arange(200, dtype=np.float32)[:, None] / 512
    vectors = base + steps * np.eye(1, 16, dtype=np.float32)
    _, rows = nearest("l2", base, vectors[::-1].copy(), 5)
    assert rows[0].tolist() == [199, 198, 197, 196, 195]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(METRICS), st.integers(1, 12))
def test_nearest_equals_a_full_sort(seed: int, metric: Metric, k: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-3, 4, (50, 3)).astype(np.float32) + np.float32(0.5)
    query = rng.integers(-3, 4, (1, 3)).astype(np.float32) + np.float32(0.5)
    every = pair_distances(metric, query[0], vectors)
    assert nearest(metric, query, vectors, k)[1][0].tolist() == ordered(every, np.arange(50), k)[1].tolist()


def test_normalised_vectors_have_length_one_and_zero_stays_zero() -> None:
    vectors = gaussian(10, 5) * np.array([1e-30, 1e30] * 5, np.float32)[:, None]
    vectors[3] = 0
    lengths = np.linalg.norm(normalised(vectors), axis=1)
    assert lengths[3] == 0
    assert np.allclose(np.delete(lengths, 3), 1, atol=1e-6)
