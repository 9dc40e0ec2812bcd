"""What a manifest says of a segment, compared with the segment's files: column statistics, graph labels, columns."""

from __future__ import annotations

from functools import partial

import numpy as np

from tiervdb.engine.check_report import Report, attempt
from tiervdb.engine.opener import SegmentOpener
from tiervdb.format.manifest import Manifest, SegmentEntry
from tiervdb.segment.column_stats import stats_of_array
from tiervdb.segment.segment import Segment

_ROWS = 16_384
SegmentKey = tuple[str, tuple[str, ...], tuple[object, ...]]  # an id, and all that two manifests may say differently


def check_segments(report: Report, manifest: Manifest, opener: SegmentOpener, seen: set[SegmentKey]) -> None:
    """Each segment that the manifest lists, unless it is in ``seen``; notes it there."""
    for entry in manifest.segments:
        key = (entry.id, tuple(sorted(f.name for f in entry.files.values())), entry.stats)
        if key in seen:
            continue
        seen.add(key)
        where = f"segment {entry.id}"
        state = attempt(report, where, partial(opener.open, entry, manifest))
        if state is not None:
            attempt(report, where, partial(_check_stats, report, manifest, state.segment))
            _check_graph(report, state.segment)


def _check_stats(report: Report, manifest: Manifest, segment: Segment) -> bool:
    """The statistics are what the columns give now: a filter passes over a segment that they exclude."""
    entry = segment.entry
    arrays = segment.columns([stats.column for stats in entry.stats])
    for stats in entry.stats:
        if stats.column not in arrays:
            report.error(
                _name(manifest, entry), f"it has statistics of column {stats.column}, which is not in its files"
            )
            continue
        found = stats_of_array(stats.column, arrays[stats.column])
        if found != stats:
            said, there = (f"{s.nulls} nulls, {s.low!r} to {s.high!r}" for s in (stats, found))
            report.error(
                _name(manifest, entry),
                f"its statistics of column {stats.column} say {said}, and the column has {there}",
                "filters may miss rows of this segment: report this; restore a state before it",
            )
    return True


def _check_graph(report: Report, segment: Segment) -> None:
    """Opening the file of labels checks that they are a permutation of the segment's rows; they must also be the rows
    whose vectors the graph has."""
    files = segment.entry.files
    if "graphrows" not in files or attempt(report, files["graphrows"].name, segment.graph_file) is None:
        return
    if attempt(report, files["graph"].name, partial(_has_its_rows, segment)) is False:
        report.error(files["graph"].name, "it holds other vectors than the rows that its labels name")


def _has_its_rows(segment: Segment) -> bool:
    file, graph = segment.graph_file(), segment.graph()
    assert file is not None
    rows = np.arange(file.size, dtype=np.int64) if file.labels is None else file.labels
    held = np.flatnonzero(rows >= 0)
    parts = (held[start : start + _ROWS] for start in range(0, len(held), _ROWS))
    return all(graph.holds(part, segment.vectors(rows[part])) for part in parts)


def _name(manifest: Manifest, entry: SegmentEntry) -> str:
    return f"segment {entry.id} in manifest {manifest.version}"
