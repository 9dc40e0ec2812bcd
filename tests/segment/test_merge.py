from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tiervdb.segment.merge import merge, top_k

Candidate = tuple[float, int, int]


def test_ties_go_to_the_smaller_source_and_row() -> None:
    one = (1, np.array([[5, 3]]), np.array([[0.5, 0.5]], np.float32))
    two = (0, np.array([[9, -1]]), np.array([[0.5, np.inf]], np.float32))
    merged = merge([one, two], 4)
    assert merged.sources.tolist() == [[0, 1, 1, -1]]
    assert merged.rows.tolist() == [[9, 3, 5, -1]]
    assert merged.distances.tolist() == [[0.5, 0.5, 0.5, np.inf]]


def test_a_row_at_infinite_distance_is_a_row() -> None:
    merged = merge([(0, np.array([[-1, 7]]), np.array([[0.0, np.inf]], np.float32))], 2)
    assert merged.rows.tolist() == [[7, -1]]
    assert merged.sources.tolist() == [[0, -1]]


def test_k_beyond_the_candidates() -> None:
    merged = merge([(3, np.array([[1], [2]]), np.array([[1.0], [2.0]], np.float32))], 10**12)
    assert merged.rows.tolist() == [[1], [2]]


@given(st.data(), st.integers(1, 3), st.integers(1, 8))
def test_merge_is_a_sort(data: st.DataObject, queries: int, k: int) -> None:
    found = []
    expected: list[list[Candidate]] = [[] for _ in range(queries)]
    for source in range(data.draw(st.integers(1, 4))):
        width = data.draw(st.integers(0, 5))
        rows = np.array([data.draw(st.permutations(range(width))) for _ in range(queries)], np.int64)
        rows = rows.reshape(queries, width)
        distances = np.array(
            [[data.draw(st.sampled_from([0.0, 0.25, 1.0])) for _ in range(width)] for _ in range(queries)], np.float32
        ).reshape(queries, width)
        found.append((source, rows, distances))
        for q in range(queries):
            expected[q] += [(float(d), source, int(r)) for d, r in zip(distances[q], rows[q], strict=True)]
    merged = merge(found, k)
    for q in range(queries):
        got = list(zip(merged.distances[q].tolist(), merged.sources[q].tolist(), merged.rows[q].tolist(), strict=True))
        assert got == sorted(expected[q])[:k]


@given(st.lists(st.sampled_from([0.0, 1.0, 2.0, float("inf"), float("nan")]), max_size=12), st.integers(0, 14))
def test_top_k_is_a_stable_sort(values: list[float], k: int) -> None:
    line = np.array([values, values[::-1]], np.float32).reshape(2, len(values))
    rows, distances = top_k(line, k)
    for q in range(2):
        expected = np.argsort(line[q], kind="stable")[:k]
        assert rows[q].tolist() == expected.tolist()
        np.testing.assert_array_equal(distances[q], line[q][expected])
