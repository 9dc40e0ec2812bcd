"""Rows and schemas that the tests of files and cold segments share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from tiervdb.format.block_file import BlockReader, BlockWriter
from tiervdb.segment.source import BatchSource
from tiervdb.types import CollectionSchema, Column, IdType, RowBatch

COLUMNS = (
    Column(id=1, name="rank", type="int64"),
    Column(id=2, name="pos", type="string"),
    Column(id=4, name="tags", type="list<string>"),
    Column(id=5, name="at", type="timestamp[us, UTC]"),
    Column(id=6, name="local", type="timestamp[us]"),
    Column(id=7, name='odd.name with "quotes" and ü', type="float32"),
    Column(id=8, name="ok", type="bool"),
    Column(id=9, name="big", type="uint64"),
    Column(id=11, name="text", type="string", stored=True),
)


def schema(dim: int = 4, id_type: IdType = "string", columns: tuple[Column, ...] = COLUMNS) -> CollectionSchema:
    return CollectionSchema(
        id=1, name="words", dim=dim, metric="l2", id_type=id_type, columns=columns, next_column_id=20
    )


def batch(rows: int, dim: int = 4, id_type: IdType = "string", seed: int = 0) -> RowBatch:
    """Vectors with awkward floats among them, and columns with nulls; ``big`` (9) is missing: null in every row."""
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((rows, dim)).astype(np.float32)
    vectors[::7, 0] = -0.0
    vectors[::11, -1] = np.float32(1e-42)
    ids = pa.array([f"wörd-{n}" for n in range(rows)]) if id_type == "string" else pa.array(np.arange(rows) * 3 - 50)
    return RowBatch(ids, vectors, {c: pa.array(v, k) for c, (v, k) in _values(rows).items()})


def _values(rows: int) -> dict[int, tuple[list[Any], pa.DataType]]:
    start = datetime(2020, 1, 1, tzinfo=UTC)
    n = range(rows)
    times = [None if i % 13 == 0 else start + timedelta(seconds=i, microseconds=i) for i in n]
    return {
        1: ([None if i % 5 == 0 else i for i in n], pa.int64()),
        2: ([None if i % 6 == 0 else ("NOUN", "VERB", "")[i % 3] for i in n], pa.string()),
        4: ([None if i % 7 == 0 else ["a", None, str(i)][: i % 4] for i in n], pa.list_(pa.string())),
        5: (times, pa.timestamp("us", "UTC")),
        6: ([t and t.replace(tzinfo=None) for t in times], pa.timestamp("us")),
        7: ([i / 3 for i in n], pa.float32()),
        8: ([None if i % 3 == 0 else i % 2 == 0 for i in n], pa.bool_()),
        11: ([f"long text {i} " * 5 for i in n], pa.string()),
    }


def source(rows: int, dim: int = 4, id_type: IdType = "string") -> BatchSource:
    return BatchSource(batch(rows, dim, id_type))


def block_file(*pieces: bytes | memoryview) -> bytes:
    out: list[bytes] = []
    writer = BlockWriter(lambda data: out.append(bytes(data)))
    for piece in pieces:
        writer.write(piece)
    writer.finish()
    return b"".join(out)


def reader(data: bytes, name: str = "the file") -> BlockReader:
    return BlockReader(memoryview(data), name)
