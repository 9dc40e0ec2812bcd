"""Vectors and queries as users pass them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tiervdb.database.inputs.vectors import to_queries, to_vectors
from tiervdb.errors import InvalidInputError

X = np.array([[1, 2, 3], [4, 5, 6]], np.float32)


class FakeTensor:
    """What torch tensors look like to numpy."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array
        self.ndim = array.ndim

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self._array


@pytest.mark.parametrize(
    "given",
    [
        X,
        X.astype(np.float64),
        X.astype(np.float16),
        X.astype(np.int64),
        X.astype(np.uint8),
        np.asfortranarray(X),
        np.repeat(X, 2, axis=0)[::2],
        X.tolist(),
        list(X),
        tuple(map(tuple, X.tolist())),
        iter(X.tolist()),
        np.array([X[0], X[1], None], object)[:2],
        np.ma.masked_array(X),
        FakeTensor(X),
        [FakeTensor(X[0]), FakeTensor(X[1])],
        pa.array(X.tolist(), pa.list_(pa.float32())),
        pa.array(X.tolist(), pa.list_(pa.float64(), 3)),
        pa.array([[0, 0, 0], *X.tolist()], pa.list_(pa.float32(), 3))[1:],
        pa.array([[0], *X.tolist()], pa.large_list(pa.float32()))[1:],
        pa.array(X.tolist(), pa.list_view(pa.float32())),
        pa.chunked_array([X[:1].tolist(), X[1:].tolist()]),
        pd.Series(list(X)),
        pd.DataFrame(X),
        pl.Series(X.tolist()),
        pl.Series(X.tolist(), dtype=pl.Array(pl.Float32, 3)),
    ],
    ids=lambda g: type(g).__name__,
)
def test_matrices_of_every_library(given: Any) -> None:
    vectors = to_vectors(given, 3, "l2")
    assert vectors.dtype == np.float32
    assert vectors.flags.c_contiguous
    np.testing.assert_array_equal(vectors, X)


def test_float32_stays_bit_for_bit() -> None:
    bits = np.array([[0x80000000, 0x00000001, 0x5E000000, 0x3EAAAAAB]], np.uint32)
    assert to_vectors(bits.view(np.float32), 4, "l2").view(np.uint32).tolist() == bits.tolist()
    arrow = pa.array([bits.view(np.float32)[0]], pa.list_(pa.float32()))
    assert to_vectors(arrow, 4, "l2").view(np.uint32).tolist() == bits.tolist()


def test_the_result_shares_no_memory_with_the_caller() -> None:
    given = X.copy()
    vectors = to_vectors(given, 3, "l2")
    given[:] = 0
    np.testing.assert_array_equal(vectors, X)


def test_one_vector_is_one_row_and_none_are_no_rows() -> None:
    assert to_vectors([1, 2, 3], 3, "l2").shape == (1, 3)
    assert to_vectors([], 3, "l2").shape == (0, 3)
    assert to_vectors(np.empty((0, 3)), 3, "cosine").shape == (0, 3)
    assert to_vectors(pa.array([], pa.list_(pa.float32())), 3, "l2").shape == (0, 3)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (X[:, :2], "vectors of 2 dimensions, but the collection has dim=3"),
        ([1, 2], "vectors of 2 dimensions"),
        (np.zeros((2, 3, 1)), r"shape \(2, 3, 1\)"),
        ([[1, 2, 3], [1, 2]], "row 1 has 2 values, row 0 has 3"),
        (pa.array([[1.0, 2.0, 3.0], [1.0]]), "row 1 has 1 values where 3 are needed"),
        (pa.array([[1.0, 2.0, 3.0], None]), "row 1 has no vector"),
        (pa.array([[1.0, None, 3.0]]), "missing value"),
        (pa.array([["a", "b", "c"]]), "numbers are needed"),
        (pa.array(["a"]), "numbers are needed"),
        ([["a", "b", "c"]], "numbers are needed"),
        (X.astype(np.complex64), "numbers are needed"),
        (X > 0, "numbers are needed"),
        (np.ma.masked_array(X, X > 5), "masked"),
        ("abc", "str was given"),
        (5, "int was given"),
        (None, "NoneType was given"),
        ([[1, 2, float("nan")]], "row 0 has NaN"),
        ([[1, 2, 3], [1, float("inf"), 3]], "row 1 has NaN, infinite"),
        ([[1e300, 2, 3]], "row 0 has NaN, infinite or too large"),
        ([[10**400, 2, 3]], "vectors"),
        (pl.DataFrame({"a": [1.0]}), "vectors"),
        ([[3e38, 3e38, 3e38]], "row 0 has length 5.2e[+]38"),
        ([[1, 2, 3], [1e19, 0, 0]], "row 1 has length 1e[+]19"),
    ],
)
def test_what_are_no_vectors_is_refused(given: Any, text: str) -> None:
    with pytest.raises(InvalidInputError, match=text):
        to_vectors(given, 3, "l2")


def test_zero_vectors_have_no_cosine() -> None:
    given = [[1, 0, 0], [0, 0, 0]]
    assert to_vectors(given, 3, "l2").shape == (2, 3)
    assert to_vectors(given, 3, "ip").shape == (2, 3)
    with pytest.raises(InvalidInputError, match="row 1 is all zeros"):
        to_vectors(given, 3, "cosine")
    with pytest.raises(InvalidInputError, match="row 0 has length 1e-20"):
        to_vectors([1e-20, 0, 0], 3, "cosine")


def test_a_flaw_in_a_late_chunk_is_found_and_numbered() -> None:
    given = np.ones((300_000, 8), np.float32)
    given[290_001, 7] = np.nan
    with pytest.raises(InvalidInputError, match="row 290001 "):
        to_vectors(given, 8, "l2")


@pytest.mark.parametrize(
    "given", [X[0], X[0].tolist(), pa.array(X[0]), pd.Series(X[0]), pl.Series(X[0]), FakeTensor(X[0])]
)
def test_one_query(given: Any) -> None:
    queries, single = to_queries(given, 3, "cosine")
    assert single
    np.testing.assert_array_equal(queries, X[:1])


@pytest.mark.parametrize("given", [X, X.tolist(), list(X), X.astype(np.float64), pd.DataFrame(X), FakeTensor(X)])
def test_several_queries(given: Any) -> None:
    queries, single = to_queries(given, 3, "cosine")
    assert not single
    assert queries.dtype == np.float32
    np.testing.assert_array_equal(queries, X)


def test_no_queries_are_several() -> None:
    queries, single = to_queries(np.empty((0, 3), np.float32), 3, "cosine")
    assert not single
    assert queries.shape == (0, 3)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (X[:, :2], "queries of 2 dimensions, but the collection has dim=3"),
        (X[0, :2], "a query of 2 dimensions"),
        (np.zeros((1, 1, 3)), r"shape \(1, 1, 3\)"),
        (np.float32(1), "search"),
        ([], "empty query"),
        ([1, 2, float("nan")], "row 0 has NaN"),
        ([0, 0, 0], "all zeros"),
        ("king", "str was given"),
        (None, "NoneType was given"),
    ],
)
def test_what_is_no_query_is_refused(given: Any, text: str) -> None:
    with pytest.raises(InvalidInputError, match=text):
        to_queries(given, 3, "cosine")


@pytest.mark.parametrize("given", [X[:1].copy(), np.asfortranarray(X)[:1], np.repeat(X, 2, axis=1)[:1, ::2]])
def test_a_single_row_is_copied_bit_for_bit(given: np.ndarray) -> None:
    before = given.copy()
    vectors = to_vectors(given, 3, "cosine")
    given[:] = 0
    assert vectors.shape == (1, 3)
    assert vectors.dtype == np.float32
    assert vectors.flags.c_contiguous
    assert vectors.tobytes() == before.tobytes()


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1e30, 0.0, 1e-20])
def test_what_single_rows_and_queries_must_not_be(wrong: float) -> None:
    flawed = np.full((1, 3), wrong, np.float32)
    with pytest.raises(InvalidInputError, match="row 0"):
        to_vectors(flawed, 3, "cosine")
    with pytest.raises(InvalidInputError, match="row 0"):
        to_queries(flawed[0], 3, "cosine")
