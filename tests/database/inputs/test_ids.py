"""Ids as users pass them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tiervdb.database.inputs.ids import to_ids
from tiervdb.errors import InvalidInputError


@pytest.mark.parametrize(
    "given",
    [
        [1, 2, 3],
        (1, 2, 3),
        range(1, 4),
        iter([1, 2, 3]),
        [np.int32(1), np.int64(2), 3],
        np.array([1, 2, 3]),
        np.array([1, 2, 3], np.uint8),
        np.array([1, 2, 3], object),
        pa.array([1, 2, 3], pa.int16()),
        pa.chunked_array([[1], [2, 3]]),
        pd.Series([1, 2, 3]),
        pd.Index([1, 2, 3]),
        pl.Series([1, 2, 3]),
    ],
    ids=lambda g: type(g).__name__,
)
def test_integers_of_every_library(given: Any) -> None:
    ids = to_ids(given, "int64")
    assert ids.type == pa.int64()
    assert ids.to_pylist() == [1, 2, 3]


@pytest.mark.parametrize(
    "given",
    [
        ["a", "b"],
        np.array(["a", "b"]),
        np.array(["a", "b"], object),
        np.array(["a", "b"], np.dtypes.StringDType()),
        pa.array(["a", "b"], pa.large_string()),
        pa.array(["a", "b"], pa.string_view()),
        pa.array(["a", "b"]).dictionary_encode(),
        pd.Series(["a", "b"]),
        pd.Series(pd.Categorical(["a", "b"])),
        pl.Series(["a", "b"]),
    ],
    ids=lambda g: type(g).__name__,
)
def test_strings_of_every_library(given: Any) -> None:
    ids = to_ids(given, "string")
    assert ids.type == pa.string()
    assert ids.to_pylist() == ["a", "b"]


def test_one_id_is_a_list_of_one() -> None:
    assert to_ids("king", "string").to_pylist() == ["king"]
    assert to_ids(7, "int64").to_pylist() == [7]
    assert to_ids(np.int64(7), "int64").to_pylist() == [7]


def test_strings_keep_what_is_odd() -> None:
    odd = ["", " ", "a\0b", "é", "e\u0301", "\U0001f451"]
    assert to_ids(odd, "string").to_pylist() == odd


@pytest.mark.parametrize(
    ("given", "id_type", "text"),
    [
        ([1, "a"], "int64", "row 1 is 'a'"),
        ([True], "int64", "row 0 is True"),
        ([1.0], "int64", "row 0 is 1.0"),
        ([1, None], "int64", "row 1 is None"),
        (["a", 1], "string", "row 1 is 1"),
        ([b"a"], "string", "row 0 is b'a'"),
        ([2**63], "int64", "does not fit int64"),
        (["\ud800"], "string", "does not fit string"),
        (np.array([1.0]), "int64", "double values"),
        (np.array([2**63], np.uint64), "int64", "does not fit int64"),
        (np.array(["a"]), "int64", "string values"),
        (np.array([1]), "string", "int64 values"),
        (np.array([[1]]), "int64", "one dimension"),
        (pa.array(["a", None]), "string", "row 1 has no id"),
        (pd.Series([1, None]), "int64", "double values"),
        (3.5, "int64", "not float"),
        (None, "string", "not NoneType"),
        (b"abc", "string", "not bytes"),
    ],
)
def test_what_is_no_id_is_refused(given: Any, id_type: Any, text: str) -> None:
    with pytest.raises(InvalidInputError, match=text):
        to_ids(given, id_type)


def test_repeated_ids_are_named() -> None:
    with pytest.raises(InvalidInputError, match=r"2 ids occur more than once in one batch, for example 'b', 'a'"):
        to_ids(["c", "b", "a", "b", "a"], "string")
    assert to_ids([1, 1], "int64", unique=False).to_pylist() == [1, 1]


def test_the_result_shares_no_memory_with_the_caller() -> None:
    given = np.array([1, 2, 3])
    ids = to_ids(given, "int64")
    given[:] = 0
    assert ids.to_pylist() == [1, 2, 3]


def test_lists_of_integers_own_their_memory_and_fit() -> None:
    given = [5, -(2**63), 2**63 - 1]
    assert to_ids(given, "int64").to_pylist() == given
    assert to_ids(range(3), "int64").to_pylist() == [0, 1, 2]
    for wrong in ([2**63], [0, -(2**63) - 1]):
        with pytest.raises(InvalidInputError, match="does not fit int64"):
            to_ids(wrong, "int64")
    with pytest.raises(InvalidInputError, match="occur more than once"):
        to_ids([1, 2, 1], "int64")
