"""Writes the local files of segments as block files, synced."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from tiervdb.format.block_file import BlockWriter
from tiervdb.format.manifest_entries import ColumnStats, FileRef
from tiervdb.format.paths import SegmentFileName
from tiervdb.segment import id_index, sketch_file
from tiervdb.segment.column_stats import column_stats
from tiervdb.segment.columns_file import write_columns
from tiervdb.segment.sketch_file import SketchData
from tiervdb.segment.source import RowSource
from tiervdb.storage.local_dir import LocalDir
from tiervdb.types import Column

Fill = Callable[[BlockWriter], None]


def write_block_file(local: LocalDir, segment_id: str, role: str, fill: Fill) -> FileRef:
    """Writes a block file with what ``fill`` writes; durable on return."""
    name = SegmentFileName(segment_id, role).name
    with local.stage(name) as staged:
        writer = BlockWriter(staged.write)
        fill(writer)
        writer.finish()
        staged.commit()
    return FileRef(name=name, size=writer.size, sha256=writer.sha256)


def write_parts(local: LocalDir, segment_id: str, role: str, parts: Iterable[bytes | memoryview]) -> FileRef:
    """Writes a block file from its data in pieces."""

    def fill(writer: BlockWriter) -> None:
        for part in parts:
            writer.write(part)

    return write_block_file(local, segment_id, role, fill)


def write_ids(local: LocalDir, segment_id: str, source: RowSource) -> FileRef:
    return write_parts(local, segment_id, "ids", id_index.build(source.ids()))


def write_columns_file(local: LocalDir, segment_id: str, source: RowSource, columns: Sequence[Column]) -> FileRef:
    return write_block_file(local, segment_id, "columns", lambda writer: write_columns(writer, source, columns))


def write_sketch(local: LocalDir, segment_id: str, data: SketchData) -> FileRef:
    return write_parts(local, segment_id, "sketch", sketch_file.encode(data))


def stats_of(source: RowSource, columns: Sequence[Column]) -> tuple[ColumnStats, ...]:
    """The ranges of the columns, one column in memory at a time."""
    return tuple(s for c in columns for s in column_stats([c], source.columns([c.id]), source.rows))
