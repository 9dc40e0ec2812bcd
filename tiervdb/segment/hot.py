"""Writes hot segments, with a sketch if there is a codebook, and adds graphs. See docs/formats/hot-segment.md."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator

import msgspec
import numpy as np

from tiervdb.clock import Clock, SystemClock
from tiervdb.format.manifest_entries import FileRef, SegmentEntry
from tiervdb.format.paths import SegmentFileName
from tiervdb.segment import graph_file
from tiervdb.segment.codebook import Codebook
from tiervdb.segment.concat import GraphBase, LiveRows
from tiervdb.segment.graph import MEASURED_ROWS, GraphBuilder, measure
from tiervdb.segment.local_files import stats_of, write_columns_file, write_ids, write_parts, write_sketch
from tiervdb.segment.measure import chunks
from tiervdb.segment.segment import Segment
from tiervdb.segment.sketch_build import VectorRows, build
from tiervdb.segment.source import OrderedSource, RowSource
from tiervdb.storage.local_dir import LocalDir
from tiervdb.types import CollectionSchema, Rows

_HASHED = 1 << 20


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
        files |= _extend_graph(local, segment_id, schema, rows, base, order, clock)
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


def add_graph(
    local: LocalDir,
    segment: Segment,
    schema: CollectionSchema,
    *,
    clock: Clock | None = None,
    threads: int | None = None,
    cancelled: Callable[[], bool] = bool,
) -> SegmentEntry | None:
    """Builds the graph of a hot segment and returns its entry with the graph's files, durable.

    ``threads``: of hnswlib, None: all processors; with one the graph is always the same. ``cancelled`` is asked now and
    then; None, with nothing written, once it says yes.
    """
    builder = GraphBuilder(schema.metric, schema.dim, segment.rows)
    order = _shuffled(segment.rows)
    files = _finish_graph(local, segment.entry.id, schema, segment, builder, order, None, clock, threads, cancelled)
    if files is None:
        return None
    return msgspec.structs.replace(segment.entry, files={**segment.entry.files, **files})


def _vector_parts(source: RowSource, dim: int) -> Iterator[memoryview]:
    for part in chunks(source.rows, dim):
        yield np.ascontiguousarray(source.vectors(part), "<f4").reshape(-1).data


def _shuffled(rows: int) -> Rows:
    """The order in which a graph gets its rows. In the order of the lists, neighbours would come one after another,
    and the last rows, which measure it, would be of one list."""
    return np.random.default_rng(rows).permutation(rows).astype(np.int64)


def _extend_graph(
    local: LocalDir,
    segment_id: str,
    schema: CollectionSchema,
    rows: RowSource,
    base: GraphBase,
    order: Rows,
    clock: Clock,
) -> dict[str, FileRef]:
    """Continues the graph of ``base`` with the rows that it lacks. ``order``: of the new rows in the source."""
    placed = np.empty(len(order), np.int64)
    placed[order] = np.arange(len(order))  # row of the source -> new row
    moved = np.where(base.rows >= 0, placed[base.rows], -1)  # row of the base -> new row
    known = base.segment.graph_file()
    assert known is not None
    labels = moved if known.labels is None else np.where(known.labels >= 0, moved[known.labels], -1)
    missing = np.ones(rows.rows, np.bool_)
    missing[labels[labels >= 0]] = False
    path = local.path(base.segment.checked_graph_name())
    builder = GraphBuilder.extending(path, schema.metric, schema.dim, len(labels) + int(missing.sum()))
    added = np.flatnonzero(missing)
    added = added[_shuffled(len(added))]
    return _finish_graph(local, segment_id, schema, rows, builder, added, labels, clock, None) or {}


def _finish_graph(
    local: LocalDir,
    segment_id: str,
    schema: CollectionSchema,
    source: VectorRows,
    builder: GraphBuilder,
    added: Rows,
    labels: Rows | None,
    clock: Clock | None,
    threads: int | None,
    cancelled: Callable[[], bool] = bool,
) -> dict[str, FileRef] | None:
    """Adds rows, measures with the last of them before they are in, and writes both files."""
    clock = clock or SystemClock()
    threads = threads or os.cpu_count() or 1
    held = np.zeros(0, np.int64) if labels is None else labels
    last = min(MEASURED_ROWS, len(added) // 2)
    body, tail = added[: len(added) - last], added[len(added) - last :]
    for part in chunks(len(body), schema.dim):
        if cancelled():
            return None
        builder.add(source.vectors(body[part]), threads)
    before = np.concatenate([held, body])
    known = before[before >= 0]
    calibration = measure(builder.graph(before), schema.metric, tail, known, source.vectors, clock)
    if len(tail):
        builder.add(source.vectors(tail), threads)
    mapped = np.concatenate([before, tail])
    written = graph_file.GraphFile(len(mapped), mapped, calibration)
    return {
        "graph": _save(local, segment_id, builder),
        "graphrows": write_parts(local, segment_id, "graphrows", graph_file.encode(written)),
    }


def _save(local: LocalDir, segment_id: str, builder: GraphBuilder) -> FileRef:
    name = SegmentFileName(segment_id, "graph").name
    with local.stage(name) as staged:
        builder.save(staged.path)
        size, sha256 = 0, hashlib.sha256()
        with staged.path.open("rb") as file:
            while part := file.read(_HASHED):
                size += len(part)
                sha256.update(part)
        staged.commit()
    return FileRef(name=name, size=size, sha256=sha256.hexdigest())
