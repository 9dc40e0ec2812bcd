"""Writes what becomes a cold segment: the Parquet file to upload, and the small files that stay local."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tiervdb.clock import Clock, SystemClock
from tiervdb.format.block_file import BlockWriter
from tiervdb.format.manifest_entries import SegmentEntry
from tiervdb.format.paths import TMP_DIR, SketchCopyName
from tiervdb.segment.codebook import Codebook
from tiervdb.segment.cold_writer import row_sums, write_parquet
from tiervdb.segment.cold_written import WrittenVectors
from tiervdb.segment.local_files import stats_of, write_columns_file, write_ids, write_parts
from tiervdb.segment.measure import chunks
from tiervdb.segment.sketch_build import coded, measured
from tiervdb.segment.sketch_file import SketchData, encode
from tiervdb.segment.source import OrderedSource, RowSource
from tiervdb.storage.local_dir import LocalDir, StagedFile
from tiervdb.types import CollectionSchema

_HASHED = 1 << 20


@dataclass(frozen=True)
class ColdFile:
    """A file that waits for its upload. ``role``: of the object that it becomes."""

    role: str
    path: Path
    size: int
    sha256: str
    staged: StagedFile


@dataclass(frozen=True)
class ColdFiles:
    """What waits for its upload, Parquet and sketch, and the segment's entry without ``objects``.

    A context manager: leaving it deletes the files, but for a sketch that was kept as the local copy.
    """

    entry: SegmentEntry
    parquet: ColdFile
    sketch: ColdFile

    @property
    def files(self) -> tuple[ColdFile, ...]:
        return self.parquet, self.sketch

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self.files:
            file.staged.abort()


def write_cold(
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
) -> ColdFiles:
    """Writes rows in the order of the codebook's lists: local files (durable), and the Parquet file to upload.

    Cold segments need a codebook, however few their rows are. Columns that are only stored stay in Parquet. Memory
    holds codes, ids and one column, but of the vectors a row group: the sketch is measured on the written file.
    """
    if codebook is None:
        raise ValueError("a cold segment needs a codebook")
    clock = clock or SystemClock()
    order, offsets, codes = coded(codebook, source)
    rows = OrderedSource(source, order)
    staged = local.stage(f"{TMP_DIR}/{segment_id}.parquet")
    copy = local.stage(SketchCopyName(segment_id).name)
    try:
        groups = write_parquet(staged.path, rows, schema)  # the one time that the source's vectors are read
        written = WrittenVectors(staged.path, groups, schema.dim)
        sketch = _write_sketch(copy, measured(codebook, offsets, codes, written.vectors, clock))
        parquet = ColdFile("parquet", staged.path, *_digest(staged.path), staged)
        entry = SegmentEntry(
            id=segment_id,
            shard=shard,
            collection=schema.id,
            tier="cold",
            rows=source.rows,
            low_seq=low_seq,
            high_seq=high_seq,
            files={
                "ids": write_ids(local, segment_id, rows),
                "columns": write_columns_file(local, segment_id, rows, schema.filter_columns),
                "rowsums": write_parts(
                    local,
                    segment_id,
                    "rowsums",
                    (row_sums(written.vectors(part)).astype("<u4").data for part in chunks(rows.rows, schema.dim)),
                ),
            },
            codebook=codebook.id,
            row_groups=tuple(groups),
            columns=tuple(c.id for c in schema.columns),
            stats=stats_of(source, schema.filter_columns),
            created_us=clock.now_us(),
        )
    except BaseException:
        staged.abort()
        copy.abort()
        raise
    return ColdFiles(entry, parquet, sketch)


def _write_sketch(staged: StagedFile, sketch: SketchData) -> ColdFile:
    writer = BlockWriter(staged.write)
    for part in encode(sketch):
        writer.write(part)
    writer.finish()
    return ColdFile("sketch", staged.path, writer.size, writer.sha256, staged)


def _digest(path: Path) -> tuple[int, str]:
    size, sha256 = 0, hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_HASHED):
            size += len(part)
            sha256.update(part)
    return size, sha256.hexdigest()
