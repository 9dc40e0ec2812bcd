"""Writes hot segments: vectors, ids, columns, and with a codebook a sketch. See docs/formats/hot_segment.md."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tiervdb.clock import Clock, SystemClock
from tiervdb.format.manifest_entries import FileRef, SegmentEntry
from tiervdb.segment.codebook import Codebook
from tiervdb.segment.concat import LiveRows
from tiervdb.segment.graph_build import add_graph, extend_graph
from tiervdb.segment.local_files import stats_of, write_columns_file, write_ids, write_parts, write_sketch
from tiervdb.segment.measure import chunks
from tiervdb.segment.sketch_build import build
from tiervdb.segment.source import OrderedSource, RowSource
from tiervdb.storage.local_dir import LocalDir
from tiervdb.types import CollectionSchema, Rows

__all__ = ["add_graph", "write_hot"]


def write_hot(
    local: LocalDir,
    segment_id: str,
    schema: CollectionSchema,
    source: RowSource,
    *,
    shard: int,
    codebook: Codebook | None,
    low_seq: int,
    high_seq: int,
    clock: Clock | None = None,
) -> SegmentEntry:
    """Writes the rows as a hot segment; all files are durable on return. At least one row.

    With a codebook, rows are put in the order of its lists and a sketch is written. If ``source`` is the live rows of
    segments of which one has a graph, a copy of the largest is extended by the other rows.
    """
    clock = clock or SystemClock()
    files: dict[str, FileRef] = {}
    order: Rows | None = None
    if codebook is not None:
        order, data = build(codebook, source, clock)
        files["sketch"] = write_sketch(local, segment_id, data)
    rows = source if order is None else OrderedSource(source, order)
    files["vectors"] = write_parts(local, segment_id, "vectors", _vector_parts(rows, schema.dim))
    files["ids"] = write_ids(local, segment_id, rows)
    files["columns"] = write_columns_file(local, segment_id, rows, schema.columns)
    base = source.graph_base() if codebook is not None and isinstance(source, LiveRows) else None
    if base is not None and order is not None:
        files |= extend_graph(local, segment_id, schema, rows, base, order, clock)
    return SegmentEntry(
        id=segment_id,
        shard=shard,
        collection=schema.id,
        tier="hot",
        rows=source.rows,
        low_seq=low_seq,
        high_seq=high_seq,
        files=files,
        codebook=None if codebook is None else codebook.id,
        columns=tuple(c.id for c in schema.columns),
        stats=stats_of(source, schema.filter_columns),
        created_us=clock.now_us(),
    )


def _vector_parts(source: RowSource, dim: int) -> Iterator[memoryview]:
    for part in chunks(source.rows, dim):
        yield np.ascontiguousarray(source.vectors(part), "<f4").reshape(-1).data
