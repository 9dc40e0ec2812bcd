"""Column values as users pass them: lossless or refused."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiervdb.database.inputs.columns import to_column
from tiervdb.errors import InvalidInputError, SchemaError
from tiervdb.format.columns import arrow_type

BERLIN = dt.timezone(dt.timedelta(hours=1))
NOON = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)
NAIVE = dt.datetime(2026, 1, 31, 12)


def column(values: Any, type_name: str, rows: int | None = None) -> pa.Array:
    return to_column(values, arrow_type(type_name), len(values) if rows is None else rows, "column 'c'")


@pytest.mark.parametrize(
    ("values", "type_name", "expected"),
    [
        ([True, None], "bool", [True, None]),
        ([np.bool_(True), False], "bool", [True, False]),
        ([1, None, -(2**63)], "int64", [1, None, -(2**63)]),
        ([2**64 - 1], "uint64", [2**64 - 1]),
        ([np.int8(1), 2], "int8", [1, 2]),
        ([1, 2.5, None], "float64", [1.0, 2.5, None]),
        ([0.1], "float32", [float(np.float32(0.1))]),
        (["a", None], "string", ["a", None]),
        ([NOON, None], "timestamp[us, UTC]", [NOON, None]),
        ([NOON.astimezone(BERLIN)], "timestamp[us, UTC]", [NOON]),
        ([NAIVE, None], "timestamp[us]", [NAIVE, None]),
        ([dt.date(2026, 1, 31), NAIVE], "timestamp[us]", [dt.datetime(2026, 1, 31), NAIVE]),
        ([["a"], [], None, ("b", None)], "list<string>", [["a"], [], None, ["b", None]]),
        ([pd.NA, "a"], "string", [None, "a"]),
        ([pd.NaT, NOON], "timestamp[us, UTC]", [None, NOON]),
        (np.array([1, 2], np.int32), "int64", [1, 2]),
        (np.array([1.0, 2.0]), "int64", [1, 2]),
        (np.ma.masked_array([1, 2], [False, True]), "int64", [1, None]),
        (np.array(["2026-01-31T12"], "datetime64[s]"), "timestamp[us]", [NAIVE]),
        (pd.Series([1, None]), "int64", [1, None]),
        (pd.Series(["a", None]), "string", ["a", None]),
        (pd.Series(pd.Categorical(["a", "b"])), "string", ["a", "b"]),
        (pd.Series([NOON]), "timestamp[us, UTC]", [NOON]),
        (pl.Series(["a", None]), "string", ["a", None]),
        (pl.Series([["a"], None]), "list<string>", [["a"], None]),
        (pa.array([None, None]), "int64", [None, None]),
        (pa.array([1], pa.uint64()), "int8", [1]),
        (pa.array([["a"]], pa.list_view(pa.string())), "list<string>", [["a"]]),
        (pa.array([["a"]], pa.large_list(pa.large_string())), "list<string>", [["a"]]),
        (
            pa.array([0], pa.timestamp("ns", "Asia/Tokyo")),
            "timestamp[us, UTC]",
            [dt.datetime(1970, 1, 1, tzinfo=dt.UTC)],
        ),
        (pa.array([dt.date(2026, 1, 31)]), "timestamp[us]", [dt.datetime(2026, 1, 31)]),
    ],
)
def test_values_of_every_library(values: Any, type_name: str, expected: list[Any]) -> None:
    array = column(values, type_name)
    assert array.type == arrow_type(type_name)
    assert array.to_pylist() == expected
    array.validate(full=True)


@pytest.mark.parametrize(
    ("value", "type_name", "expected"),
    [
        ("en", "string", "en"),
        (None, "int64", None),
        (3, "int64", 3),
        (np.int16(3), "int64", 3),
        (True, "bool", True),
        (NOON, "timestamp[us, UTC]", NOON),
        (np.datetime64("2026-01-31T12:00"), "timestamp[us]", NAIVE),
        (pa.scalar(3, pa.int8()), "int64", 3),
        (["a", "b"], "list<string>", ["a", "b"]),
        ([], "list<string>", []),
    ],
)
def test_one_value_stands_for_every_row(value: Any, type_name: str, expected: Any) -> None:
    assert column(value, type_name, rows=3).to_pylist() == [expected] * 3
    assert column(value, type_name, rows=0).to_pylist() == []


@pytest.mark.parametrize(
    ("values", "type_name", "text"),
    [
        (["12"], "int64", r"row 0 is '12' \(str\)"),
        ([1, True], "int64", "row 1 is True"),
        ([1.5], "int64", "row 0 is 1.5"),
        ([300], "int8", "does not fit"),
        ([-1], "uint8", "does not fit"),
        ([2**64], "uint64", "does not fit"),
        ([1], "bool", "row 0 is 1"),
        ([1], "string", "row 0 is 1"),
        ([b"a"], "string", "row 0 is b'a'"),
        (["\ud800"], "string", "does not fit"),
        ([1e300], "float32", "too large for float"),
        (["x"], "float64", "row 0 is 'x'"),
        ([NAIVE], "timestamp[us, UTC]", "attach a zone"),
        ([NOON, NAIVE], "timestamp[us, UTC]", "row 1 is .* attach a zone"),
        ([NOON], "timestamp[us]", "no zone"),
        (["2026-01-31"], "timestamp[us, UTC]", "row 0 is '2026-01-31'"),
        ([0], "timestamp[us, UTC]", "row 0 is 0"),
        ([pd.Timestamp(1, tz="UTC")], "timestamp[us, UTC]", "finer than"),
        ([["a"], "b"], "list<string>", "row 1 is 'b'"),
        ([[1]], "list<string>", "member of type int"),
        (np.array([1.5]), "int64", "does not fit"),
        (np.array([np.nan]), "int64", "does not fit"),
        (np.array([True]), "int64", "bool values"),
        (np.array([300]), "int8", "does not fit"),
        (np.array([2**53 + 1]), "float64", "does not fit"),
        (np.array([1e300]), "float32", "row 0 is 1e[+]300, too large"),
        (np.array(["1"]), "int64", "string values"),
        (np.array(["2026-01-31"], "datetime64[D]"), "timestamp[us, UTC]", "convert|zone"),
        (np.array(["2026-01-31"], "datetime64[s]"), "timestamp[us, UTC]", "attach a zone"),
        (pd.Series([NOON]), "timestamp[us]", "no zone"),
        (pa.array([1], pa.timestamp("ns")), "timestamp[us]", "does not fit"),
        (pa.array([[1]]), "list<string>", "list"),
        (pa.array([{"a": 1}]), "string", "struct"),
    ],
)
def test_what_would_lose_something_is_refused(values: Any, type_name: str, text: str) -> None:
    with pytest.raises(SchemaError, match=text):
        column(values, type_name)


def test_a_wrong_count_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="2 values for 3 rows"):
        column([1, 2], "int64", rows=3)
    with pytest.raises(InvalidInputError, match="not object"):
        column(object(), "int64", rows=3)


def test_the_result_shares_no_memory_with_the_caller() -> None:
    values = np.array([1, 2, 3])
    frame = pd.DataFrame({"a": values, "b": [1.0, 2.0, 3.0]})
    from_array, from_series = column(values, "int64"), column(frame["b"], "float64")
    values[:] = 0
    frame.loc[0, "b"] = 9.0
    assert from_array.to_pylist() == [1, 2, 3]
    assert from_series.to_pylist() == [1.0, 2.0, 3.0]


def test_a_slice_does_not_keep_what_it_was_cut_from() -> None:
    large = pa.array(["x" * 1000] * 1000)
    assert column(large[:1], "string").get_total_buffer_size() < 5000


@given(st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)))
def test_integers_come_back(values: list[int | None]) -> None:
    assert column(values, "int64").to_pylist() == values


@given(st.lists(st.none() | st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1), timezones=st.just(BERLIN))))
def test_times_come_back(values: list[dt.datetime | None]) -> None:
    assert column(values, "timestamp[us, UTC]").to_pylist() == values
