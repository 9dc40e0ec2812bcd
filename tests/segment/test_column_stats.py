from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from tiervdb.format.columns import arrow_type
from tiervdb.format.manifest_entries import ColumnStats
from tiervdb.segment.column_stats import column_stats
from tiervdb.types import Column


@pytest.mark.parametrize(
    ("kind", "values", "low", "high"),
    [
        ("int64", [3, None, -5], -5, 3),
        ("uint64", [2**64 - 1, 1], 1, 2**64 - 1),
        ("bool", [True, None, False], False, True),
        ("float32", [1.5, None, -2.0], -2.0, 1.5),
        ("float64", [1.0, float("inf")], 1.0, float("inf")),
        ("float64", [1.0, float("nan")], None, None),
        ("string", ["b", "a", None], "a", "b"),
        ("string", ["x" * 65, "y"], "x" * 64, "y"),
        ("string", ["a", "y" * 65], "a", None),
        ("timestamp[us, UTC]", [datetime(1970, 1, 1, 0, 0, 2, tzinfo=UTC), None], 2_000_000, 2_000_000),
        ("timestamp[us]", [datetime(1970, 1, 1, 0, 0, 1)], 1_000_000, 1_000_000),
        ("list<string>", [["a"], None], None, None),
        ("int64", [None, None], None, None),
        ("int64", [], None, None),
    ],
)
def test_bounds(kind: str, values: list[Any], low: object, high: object) -> None:
    column = Column(id=3, name="c", type=kind)
    array = pa.array(values, arrow_type(kind))
    expected = ColumnStats(column=3, nulls=values.count(None), low=low, high=high)
    assert column_stats([column], {3: array}, len(values)) == (expected,)
    assert column_stats([column], {3: pa.chunked_array([array, array.slice(0, 0)])}, len(values)) == (expected,)


def test_a_column_without_values_is_null_in_every_row() -> None:
    assert column_stats([Column(id=1, name="c", type="bool")], {}, 7) == (ColumnStats(column=1, nulls=7),)
