"""Vectors of different shapes, and segments made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from tiervdb.clock import ManualClock
from tiervdb.format.manifest_entries import SegmentEntry
from tiervdb.segment.codebook import Codebook
from tiervdb.segment.distance import nearest
from tiervdb.segment.hot import write_hot
from tiervdb.segment.request import Candidates, SearchRequest, SearchTally
from tiervdb.segment.segment import Segment, open_segment
from tiervdb.segment.sketch_build import train_codebook
from tiervdb.segment.source import BatchSource, RowSource
from tiervdb.storage.os_dir import OsDir
from tiervdb.types import CollectionSchema, Column, Mask, Metric, RowBatch, Vectors

SEGMENT_ID = "5e" * 16
CODEBOOK_ID = "c0" * 16
METRICS: tuple[Metric, ...] = ("cosine", "l2", "ip")


def gaussian(rows: int, dim: int, seed: int = 1) -> Vectors:
    return np.random.default_rng(seed).standard_normal((rows, dim)).astype(np.float32)


def clustered(rows: int, dim: int, clusters: int = 100, seed: int = 2) -> Vectors:
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((clusters, dim)) * 2
    return (centres[rng.integers(0, clusters, rows)] + rng.standard_normal((rows, dim))).astype(np.float32)


def lognormal_norms(rows: int, dim: int, seed: int = 3) -> Vectors:
    rng = np.random.default_rng(seed)
    vectors = clustered(rows, dim, seed=seed)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors * rng.lognormal(0, 1, (rows, 1))).astype(np.float32)


def duplicates(distinct: int, copies: int, dim: int, seed: int = 4) -> Vectors:
    vectors = gaussian(distinct, dim, seed)
    return np.ascontiguousarray(vectors[np.random.default_rng(seed).permutation(distinct * copies) % distinct])


def schema_for(dim: int, metric: Metric = "cosine", columns: Sequence[Column] = ()) -> CollectionSchema:
    return CollectionSchema(
        id=1, name="things", dim=dim, metric=metric, id_type="int64", columns=tuple(columns), next_column_id=9
    )


def source_of(vectors: Vectors, columns: dict[int, pa.Array] | None = None, first_id: int = 0) -> BatchSource:
    ids = pa.array(np.arange(first_id, first_id + len(vectors)))
    return BatchSource(RowBatch(ids, vectors, columns or {}))


@dataclass(frozen=True)
class Made:
    """A hot segment and what it was made of. Ids are positions in ``vectors``."""

    local: OsDir
    schema: CollectionSchema
    entry: SegmentEntry
    codebook: Codebook | None
    segment: Segment
    vectors: Vectors

    def reopened(self) -> Segment:
        return open_segment(self.local, self.entry, self.schema, self.codebook, None)

    def search(
        self, queries: Vectors, k: int = 10, live: Mask | None = None, request: SearchRequest | None = None
    ) -> Candidates:
        return self.segment.search(queries, k, live, request or SearchRequest(), SearchTally())


def make_codebook(schema: CollectionSchema, source: RowSource) -> Codebook:
    return train_codebook(CODEBOOK_ID, schema.id, schema.metric, source, ManualClock())


def make_hot(
    folder: Path,
    vectors: Vectors,
    metric: Metric = "cosine",
    *,
    sketch: bool = True,
    columns: Sequence[Column] = (),
    values: dict[int, pa.Array] | None = None,
) -> Made:
    local = OsDir(folder, sync=False)
    schema = schema_for(vectors.shape[1], metric, columns)
    source = source_of(vectors, values)
    codebook = make_codebook(schema, source) if sketch else None
    entry = write_hot(
        local, SEGMENT_ID, schema, source, shard=0, codebook=codebook, low_seq=1, high_seq=9, clock=ManualClock()
    )
    return Made(local, schema, entry, codebook, open_segment(local, entry, schema, codebook, None), vectors)


def recall(segment: Segment, found: Candidates, queries: Vectors, live: Mask | None = None) -> float:
    """Recall against an exact scan; rows as near as the k-th count."""
    rows = np.arange(segment.rows) if live is None else np.flatnonzero(live)
    truth, _ = nearest(segment.metric, queries, segment.vectors(rows), found.rows.shape[1])
    return float((found.distances <= truth[:, -1:] * (1 + 1e-5 * np.sign(truth[:, -1:])) + 1e-6).mean())
