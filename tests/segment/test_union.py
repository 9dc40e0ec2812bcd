"""Segments scanned as one answer like each by itself."""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pytest

from tiervdb.clock import ManualClock
from tiervdb.format import paths
from tiervdb.segment.hot import write_hot
from tiervdb.segment.request import SearchRequest, SearchTally
from tiervdb.segment.segment import BatchSource, Segment, open_segment
from tiervdb.segment.sketch_build import train_codebook
from tiervdb.segment.union import SketchUnion, shared_plan
from tiervdb.storage.os_dir import OsDir
from tiervdb.types import CollectionSchema, RowBatch

DIM, ROWS = 64, 8_000
SCHEMA = CollectionSchema(id=1, name="points", dim=DIM, metric="cosine", id_type="int64")


@pytest.fixture(scope="module")
def segments(tmp_path_factory: pytest.TempPathFactory) -> list[Segment]:
    rng, ids = np.random.default_rng(5), random.Random(5)
    local = OsDir(tmp_path_factory.mktemp("union"), sync=False)
    vectors = rng.standard_normal((3 * ROWS, DIM)).astype(np.float32)
    whole = BatchSource(RowBatch(pa.array(np.arange(3 * ROWS)), vectors))
    codebook = train_codebook(paths.random_id(ids), 1, "cosine", whole, ManualClock())
    opened = []
    for start in range(0, 3 * ROWS, ROWS):
        batch = RowBatch(pa.array(np.arange(start, start + ROWS)), vectors[start : start + ROWS])
        entry = write_hot(
            local, paths.random_id(ids), SCHEMA, BatchSource(batch), shard=0, codebook=codebook, low_seq=1, high_seq=1,
            clock=ManualClock(),
        )  # fmt: skip
        opened.append(open_segment(local, entry, SCHEMA, codebook, None))
    return opened


def ids_of(segments: list[Segment], places: np.ndarray, rows: np.ndarray) -> list[int]:
    return [segments[p].ids(np.array([r])).to_pylist()[0] for p, r in zip(places, rows, strict=True)]


def exact_ids(segments: list[Segment], masks: list, query: np.ndarray, k: int) -> list[int]:
    found = []
    for segment, mask in zip(segments, masks, strict=True):
        best = segment.search(query, k, mask, SearchRequest(exact=True), SearchTally())
        found += zip(best.distances[0].tolist(), segment.ids(best.rows[0]).to_pylist(), strict=True)
    return [number for _, number in sorted(found)[:k]]


@pytest.mark.parametrize("dead_share", [0.0, 0.05])
def test_probing_all_lists_gives_the_exact_answer(segments: list[Segment], dead_share: float) -> None:
    rng = np.random.default_rng(6)
    masks = [None if not dead_share else rng.random(s.rows) >= dead_share for s in segments]
    plan = shared_plan(segments, 10, [s.rows for s in segments], SearchRequest(nprobe=10_000, rerank=200))
    assert plan is not None
    union = SketchUnion(segments)
    for _ in range(20):
        query = rng.standard_normal((1, DIM)).astype(np.float32)
        found = union.search(segments, masks, query, 10, plan, SearchTally(), 1)
        assert found is not None
        places, rows, distances = found
        assert ids_of(segments, places[0], rows[0]) == exact_ids(segments, masks, query, 10)
        assert (np.diff(distances[0]) >= 0).all()


def test_default_parameters_keep_the_recall(segments: list[Segment]) -> None:
    rng = np.random.default_rng(7)
    plan = shared_plan(segments, 10, [s.rows for s in segments], SearchRequest())
    if plan is None:
        pytest.fail("segments with sketches should be scanned as one")
    union, hits = SketchUnion(segments), 0
    queries = rng.standard_normal((50, DIM)).astype(np.float32)
    found = union.search(segments, [None] * 3, queries, 10, plan, SearchTally(), 1)
    assert found is not None
    for at in range(50):
        truth = exact_ids(segments, [None] * 3, queries[at : at + 1], 10)
        hits += len(set(truth) & set(ids_of(segments, found[0][at], found[1][at])))
    assert hits / 500 >= 0.95


def test_what_is_not_scanned_as_one(segments: list[Segment]) -> None:
    alive = [s.rows for s in segments]
    assert shared_plan(segments, 10, alive, SearchRequest(filtered=True)) is None
    assert shared_plan(segments, 10, alive, SearchRequest(rerank=0)) is None
    assert shared_plan(segments, 10, alive, SearchRequest(exact=True)) is None


def test_lists_that_hold_too_few_live_rows_answer_nothing(segments: list[Segment]) -> None:
    masks = [np.zeros(s.rows, np.bool_) for s in segments]
    masks[0][:5] = True
    plan = shared_plan(segments, 10, [s.rows for s in segments], SearchRequest(nprobe=2, rerank=20))
    assert plan is not None
    query = np.ones((1, DIM), np.float32)
    assert SketchUnion(segments).search(segments, masks, query, 10, plan, SearchTally(), 1) is None
