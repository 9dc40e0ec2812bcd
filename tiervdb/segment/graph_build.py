"""Builds the graphs of hot segments: from nothing, or by extending a copy of another segment's."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import numpy as np

from tiervdb.clock import Clock, SystemClock
from tiervdb.format.manifest_entries import FileRef, SegmentEntry
from tiervdb.format.paths import SegmentFileName
from tiervdb.segment import graph_file
from tiervdb.segment.calibration import GraphCalibration
from tiervdb.segment.concat import GraphBase
from tiervdb.segment.graph import LEAST_MEASURED, MEASURED_ROWS, GraphBuilder, measure
from tiervdb.segment.graph_file import GraphFile
from tiervdb.segment.local_files import write_parts
from tiervdb.segment.measure import chunks
from tiervdb.segment.segment import Segment
from tiervdb.segment.sketch_build import VectorRows
from tiervdb.storage.local_dir import LocalDir
from tiervdb.types import CollectionSchema, Rows

_HASHED = 1 << 20


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
    build = _Build(local, segment.entry.id, schema, segment, clock or SystemClock(), threads or os.cpu_count() or 1)
    builder = GraphBuilder(schema.metric, schema.dim, segment.rows)
    before = build.add(builder, np.zeros(0, np.int64), _shuffled(segment.rows), cancelled)
    if before is None:
        return None
    files = build.finish(builder, *before, None)
    return msgspec.structs.replace(segment.entry, files={**segment.entry.files, **files})


def extend_graph(
    local: LocalDir,
    segment_id: str,
    schema: CollectionSchema,
    rows: VectorRows,
    base: GraphBase,
    order: Rows,
    clock: Clock,
) -> dict[str, FileRef]:
    """Continues a copy of ``base``'s graph with the rows that it lacks. ``order``: the source row of each row.

    Its dead rows stay in it and are left out of every answer.
    """
    known = base.segment.graph_file()
    if known is None:
        return {}
    placed = np.empty(len(order), np.int64)
    placed[order] = np.arange(len(order))  # row of the source -> row of the new segment
    moved = np.where(base.rows >= 0, placed[base.rows], -1)  # row of the base -> row of the new segment
    labels = moved if known.labels is None else np.where(known.labels >= 0, moved[known.labels], -1)
    missing = np.ones(rows.rows, np.bool_)
    missing[labels[labels >= 0]] = False
    added = np.flatnonzero(missing)
    added = added[_shuffled(len(added))]
    path = base.segment.graph_path()
    builder = GraphBuilder.extending(path, schema.metric, schema.dim, len(labels) + len(added))
    build = _Build(local, segment_id, schema, rows, clock, os.cpu_count() or 1)
    before = build.add(builder, labels, added, bool)
    return {} if before is None else build.finish(builder, *before, known.calibration)


def _shuffled(rows: int) -> Rows:
    """The order in which a graph gets its rows. In the order of the lists, neighbours would come one after another,
    and the last rows, which measure it, would be of one list."""
    return np.random.default_rng(rows).permutation(rows).astype(np.int64)


@dataclass(frozen=True)
class _Build:
    local: LocalDir
    segment_id: str
    schema: CollectionSchema
    source: VectorRows
    clock: Clock
    threads: int

    def add(
        self, builder: GraphBuilder, labels: Rows, added: Rows, cancelled: Callable[[], bool]
    ) -> tuple[Rows, Rows] | None:
        """Adds all but the last rows: the row of each of the graph's numbers, and the rows left to measure with."""
        last = min(MEASURED_ROWS, len(added) // 2)
        body, tail = added[: len(added) - last], added[len(added) - last :]
        for part in chunks(len(body), self.schema.dim):
            if cancelled():
                return None
            builder.add(self.source.vectors(body[part]), self.threads)
        return np.concatenate([labels, body]), tail

    def finish(
        self, builder: GraphBuilder, before: Rows, tail: Rows, known: GraphCalibration | None
    ) -> dict[str, FileRef]:
        """Measures the graph with the last rows, adds them, and writes both files.

        ``known``: what the graph was measured to reach before; it stays if too few rows came to measure again.
        """
        if known is None or len(tail) >= LEAST_MEASURED:
            held = before[before >= 0]
            graph, metric = builder.graph(before), self.schema.metric
            known = measure(graph, metric, tail, held, self.source.vectors, self.clock)
        if len(tail):
            builder.add(self.source.vectors(tail), self.threads)
        labels = np.concatenate([before, tail])
        parts = graph_file.encode(GraphFile(len(labels), labels, known))
        return {
            "graph": self._save(builder),
            "graphrows": write_parts(self.local, self.segment_id, "graphrows", parts),
        }

    def _save(self, builder: GraphBuilder) -> FileRef:
        name = SegmentFileName(self.segment_id, "graph").name
        with self.local.stage(name) as staged:
            builder.save(staged.path)
            size, sha256 = 0, hashlib.sha256()
            with staged.path.open("rb") as file:
                while part := file.read(_HASHED):
                    size += len(part)
                    sha256.update(part)
            staged.commit()
        return FileRef(name=name, size=size, sha256=sha256.hexdigest())
