"""A small table and its collection, for the tests of filters."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from tiervdb.segment.filter import FilterEngine, compile_filter
from tiervdb.types import CollectionSchema, Column

WORDS = CollectionSchema(
    id=1,
    name="words",
    dim=2,
    metric="l2",
    id_type="string",
    columns=(
        Column(id=1, name="rank", type="int64"),
        Column(id=2, name="pos", type="string"),
        Column(id=3, name="tags", type="list<string>"),
        Column(id=4, name="seen", type="timestamp[us, UTC]"),
        Column(id=5, name="body", type="string", stored=True),
        Column(id=6, name='odd "name"', type="float64"),
        Column(id=7, name="Case", type="bool"),
        Column(id=8, name="CASE", type="int8"),
        Column(id=9, name="größe", type="uint64"),
    ),
    next_column_id=20,
)

TABLE = pa.table(
    {
        "id": ["apple", "Bär", "cat", "dog"],
        "rank": pa.array([1, 2, 3, None], pa.int64()),
        "pos": ["NOUN", "VERB", None, "noun"],
        "tags": pa.array([["a", "b"], [], None, ["b", None]], pa.list_(pa.string())),
        "seen": pa.array(
            [
                datetime(2020, 1, 1, tzinfo=UTC),
                datetime(2021, 6, 1, 12, tzinfo=UTC),
                None,
                datetime(2022, 1, 1, tzinfo=UTC),
            ],
            pa.timestamp("us", "UTC"),
        ),
        'odd "name"': pa.array([0.5, float("nan"), None, -1.0]),
        "Case": pa.array([True, False, None, True]),
        "CASE": pa.array([1, 2, 3, 4], pa.int8()),
        "größe": pa.array([0, 2**64 - 1, None, 5], pa.uint64()),
    }
)


_ENGINE = FilterEngine(1 << 20)


@dataclass
class TableSource:
    """A filter source that counts how often it is read."""

    arrow: pa.Table = field(repr=False)
    key: Hashable | None = None
    reads: int = 0
    rows_read: int = 0

    @property
    def rows(self) -> int:
        return len(self.arrow)

    def table(self, start: int = 0) -> pa.Table:
        self.reads += 1
        self.rows_read += len(self.arrow) - start
        return self.arrow.slice(start)


def matches(where: str, *params: Any, schema: CollectionSchema = WORDS, table: pa.Table = TABLE) -> list[int]:
    """The matching rows."""
    (mask,) = _ENGINE.masks(compile_filter(where, params, schema), [TableSource(table)])
    return mask.nonzero()[0].tolist()  # type: ignore[no-any-return]
