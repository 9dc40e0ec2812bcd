from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.segment.vector_data import CODEBOOK_ID, METRICS, clustered, duplicates, gaussian, lognormal_norms
from tiervdb.clock import ManualClock
from tiervdb.segment.calibration import TARGET_RECALL
from tiervdb.segment.distance import nearest
from tiervdb.segment.measure import calibrate, find_truth
from tiervdb.segment.measure_filtered import calibrate_filtered
from tiervdb.segment.sketch import Coder, Lists, prepared, train
from tiervdb.segment.sketch_build import train_codebook
from tiervdb.types import Metric, Rows, Vectors


class InMemory:
    def __init__(self, vectors: Vectors) -> None:
        self.all = vectors
        self.rows = len(vectors)

    def vectors(self, rows: Rows) -> Vectors:
        return self.all[rows]


class TickingClock(ManualClock):
    """A millisecond goes by with every look at it."""

    def monotonic(self) -> float:
        self.advance(0.001)
        return super().monotonic()


def lists_of(vectors: Vectors, metric: Metric) -> tuple[Lists, Vectors]:
    book = train(CODEBOOK_ID, 1, metric, "pq4fs", vectors, len(vectors))
    numbers, codes = Coder(book).encode(vectors)
    order = np.argsort(numbers, kind="stable")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(numbers, minlength=book.nlist))]).astype(np.int64)
    return Lists(book, codes[order], offsets), vectors[order]


@pytest.mark.parametrize("metric", METRICS)
def test_truth_is_the_exact_answer_without_the_own_row(metric: Metric) -> None:
    vectors = clustered(3000, 20)
    own = np.array([5, 700, 2999])
    truth = find_truth(metric, vectors[own], own, np.arange(3000), lambda rows: vectors[rows])
    distances, rows = nearest(metric, vectors[own], vectors, 11)
    for at in range(3):
        expected = [(d, r) for d, r in zip(distances[at], rows[at], strict=True) if r != own[at]][:10]
        assert np.allclose(truth.distances[at], [d for d, _ in expected])
        assert set(truth.rows[at].tolist()) == {r for _, r in expected}


def test_ties_are_seen() -> None:
    vectors = duplicates(5, 40, 8)
    own = np.arange(4)
    truth = find_truth("l2", vectors[own], own, np.arange(200), lambda rows: vectors[rows])
    assert truth.tied.all()
    assert (truth.distances == 0).all()
    assert not (truth.rows == own[:, None]).any()


@pytest.mark.parametrize("metric", METRICS)
def test_calibration_predicts_what_a_search_reaches(metric: Metric) -> None:
    lists, vectors = lists_of(gaussian(6000, 24), metric)
    table = calibrate(lists, lambda rows: vectors[rows], ManualClock())
    queries = gaussian(200, 24, seed=77)
    truth = nearest(metric, queries, vectors, 10)[1]
    ready = prepared(metric, queries)
    for rung in [r for r in table.rungs if r.rerank == 60][::3]:
        rows = lists.scan(ready, *lists.probes(ready, rung.nprobe), rung.rerank)[0]
        reached = np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(rows, truth, strict=True)])
        assert abs(reached - rung.recall) < 0.05


def test_the_ladder_stops_where_nearly_all_is_found_and_is_fine_around_the_target() -> None:
    lists, vectors = lists_of(gaussian(6000, 24), "l2")
    table = calibrate(lists, lambda rows: vectors[rows], ManualClock())
    best = {r.nprobe: r.recall for r in table.rungs}
    assert max(best.values()) >= 0.98
    assert sum(0.9 < recall < 0.999 for recall in best.values()) >= 3
    assert all(r.microseconds == 0 for r in table.rungs)


def test_more_lists_never_seem_cheaper() -> None:
    lists, vectors = lists_of(clustered(2000, 16), "cosine")
    table = calibrate(lists, lambda rows: vectors[rows], TickingClock())
    times = [r.microseconds for r in table.rungs if r.rerank == 10]
    assert times == sorted(times)
    assert table.exact_microseconds == pytest.approx(1000, abs=1)


def test_filters_elsewhere_need_more_lists_than_filters_at_random() -> None:
    lists, vectors = lists_of(clustered(8000, 24), "cosine")
    rungs = list(calibrate_filtered(lists, lambda rows: vectors[rows]))
    assert [r.share for r in rungs] == [0.5, 0.1, 0.02, 0.005]
    assert all(1 <= r.nprobe <= len(lists.sizes) for r in rungs)


def test_few_rows_are_measured_too() -> None:
    for rows in (1, 2, 5, 30):
        lists, vectors = lists_of(gaussian(rows, 16), "l2")
        table = calibrate(lists, lambda wanted, v=vectors: v[wanted], ManualClock())  # type: ignore[misc]
        assert table.rungs
        list(calibrate_filtered(lists, lambda wanted, v=vectors: v[wanted]))  # type: ignore[misc]


@pytest.mark.parametrize(
    ("vectors", "metric", "codec"),
    [
        (clustered(3000, 32), "cosine", "pq4fs"),
        (lognormal_norms(3000, 32), "l2", "rabitq4"),
        (gaussian(3000, 2), "l2", "rabitq4"),
        (gaussian(60, 1024), "cosine", "rabitq4"),
    ],
)
def test_the_codec_is_what_the_data_needs(vectors: Vectors, metric: Metric, codec: str) -> None:
    arguments: Any = (CODEBOOK_ID, 1, metric, InMemory(vectors), ManualClock())
    assert train_codebook(*arguments).codec == codec
    assert TARGET_RECALL == 0.98


def test_short_queries_beside_long_centroids_are_ranked_right() -> None:
    """RaBitQ rounds a query's difference to a centroid; a short query must not drown in it."""
    vectors = lognormal_norms(4000, 32)
    book = train(CODEBOOK_ID, 1, "ip", "rabitq4", vectors, len(vectors))
    numbers, codes = Coder(book).encode(vectors)
    order = np.argsort(numbers, kind="stable")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(numbers, minlength=book.nlist))]).astype(np.int64)
    lists = Lists(book, codes[order], offsets)
    for scale in (1e-3, 1.0, 1e3):
        queries = gaussian(40, 32, seed=5) * np.float32(scale)
        truth = nearest("ip", queries, vectors[order], 10)
        rows, near = lists.scan(queries, *lists.probes(queries, book.nlist), 40)
        found = np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(rows, truth[1], strict=True)])
        assert found > 0.97
        assert np.allclose(near[:, 0], truth[0][:, 0], rtol=0.3)
