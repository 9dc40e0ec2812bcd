"""Values that every layer speaks of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

Metric = Literal["cosine", "l2", "ip"]
IdType = Literal["int64", "string"]
Tier = Literal["hot", "cold"]

Vectors = npt.NDArray[np.float32]  # (rows, dim), C order
Distances = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]  # row numbers within one segment or memtable
Mask = npt.NDArray[np.bool_]  # one flag a row
IdArray = npt.NDArray[Any]  # int64, or objects that are str

METRICS: tuple[Metric, ...] = ("cosine", "l2", "ip")
ID_TYPES: tuple[IdType, ...] = ("int64", "string")
RESERVED_COLUMN_NAMES = frozenset({"id", "vector", "distance", "query"})


class Column(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A typed column. ``id`` is never reused within its collection; files and logs name columns by it."""

    id: int
    name: str
    type: str  # see format/columns.py
    stored: bool = False  # kept in Parquet only when cold, and not usable in filters


class CollectionSchema(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the rows of one collection look like. ``id`` is never reused within its database."""

    id: int
    name: str
    dim: int
    metric: Metric
    id_type: IdType
    columns: tuple[Column, ...] = ()
    next_column_id: int = 1

    def column(self, name: str) -> Column | None:
        """The column of that name; None if there is none."""
        return next((c for c in self.columns if c.name == name), None)

    @property
    def filter_columns(self) -> tuple[Column, ...]:
        return tuple(c for c in self.columns if not c.stored)


@dataclass(frozen=True)
class RowBatch:
    """Rows of one collection in memory: validated, ids unique.

    ``ids``: Arrow int64 or string array. ``vectors``: float32 ``(rows, dim)``, C order.
    ``columns``: Arrow arrays by column id; a column that is missing here is null in every row.
    """

    ids: pa.Array
    vectors: Vectors
    columns: Mapping[int, pa.Array] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: npt.NDArray[np.integer]) -> RowBatch:
        """The given rows, in the given order."""
        at = pa.array(rows)
        return RowBatch(self.ids.take(at), self.vectors[rows], {c: a.take(at) for c, a in self.columns.items()})


@dataclass(frozen=True)
class Commit:
    """What an acknowledged commit did.

    ``seq``: its commit sequence number. ``time``: its commit time, UTC. ``upserted``, ``deleted``: rows, of all
    collections together.
    """

    seq: int
    time: datetime
    upserted: int = 0
    deleted: int = 0


def to_datetime(us: int) -> datetime:
    """UTC microseconds to an aware datetime."""
    return datetime.fromtimestamp(us // 1_000_000, UTC).replace(microsecond=us % 1_000_000)


def to_us(time: datetime) -> int:
    """An aware datetime to UTC microseconds."""
    delta = time - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
