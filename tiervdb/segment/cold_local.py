"""Writes what becomes a cold segment: the Parquet file to upload, and the small files that stay local."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tiervdb.clock import Clock, SystemClock
from tiervdb.format.manifest_entries import SegmentEntry
from tiervdb.format.paths import TMP_DIR
from tiervdb.segment.codebook import Codebook
from tiervdb.segment.cold_writer import row_sums, write_parquet
from tiervdb.segment.cold_written import WrittenVectors
from tiervdb.segment.local_files import stats_of, write_columns_file, write_ids, write_parts, write_sketch
from tiervdb.segment.measure import chunks
from tiervdb.segment.sketch_build import coded, measured
from tiervdb.segment.source import OrderedSource, RowSource
from tiervdb.storage.local_dir import LocalDir, StagedFile
from tiervdb.types import CollectionSchema

_HASHED = 1 << 20


@dataclass(frozen=True)
class ColdFiles:
    """A Parquet file that waits for its upload, and the segment's entry without ``objects``.

    A context manager: leaving it deletes the Parquet file.
    """

    entry: SegmentEntry
    path: Path
    size: int
    sha256: str
    _staged: StagedFile

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._staged.abort()


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
    try:
        groups = write_parquet(staged.path, rows, schema)  # the one time that the source's vectors are read
        written = WrittenVectors(staged.path, groups, schema.dim)
        sketch = measured(codebook, offsets, codes, written.vectors, clock)
        size, sha256 = _digest(staged.path)
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
                "sketch": write_sketch(local, segment_id, sketch),
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
        raise
    return ColdFiles(entry, staged.path, size, sha256, staged)


def _digest(path: Path) -> tuple[int, str]:
    size, sha256 = 0, hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_HASHED):
            size += len(part)
            sha256.update(part)
    return size, sha256.hexdigest()
