from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.segment.vector_data import CODEBOOK_ID, clustered, make_codebook, recall, schema_for, source_of
from tiervdb.clock import ManualClock
from tiervdb.segment.codebook import Codebook
from tiervdb.segment.concat import LiveRows
from tiervdb.segment.hot import add_graph, write_hot
from tiervdb.segment.request import SearchRequest, SearchTally
from tiervdb.segment.segment import Segment, open_segment
from tiervdb.storage.os_dir import OsDir
from tiervdb.types import Column, Mask

RANK, LATE = Column(id=1, name="rank", type="int64"), Column(id=2, name="late", type="string")
SCHEMA = schema_for(16, "cosine", (RANK, LATE))
VECTORS = clustered(5000, 16)


def write(local: OsDir, number: int, first: int, end: int, codebook: Codebook | None, graph: bool = False) -> Segment:
    """Rows ``first`` to ``end`` of VECTORS; the odd segments lack the late column."""
    columns = {1: pa.array(np.arange(first, end))}
    if number % 2 == 0:
        columns[2] = pa.array([f"n{i}" for i in range(first, end)])
    segment_id = f"{number:032x}"
    source = source_of(VECTORS[first:end], columns, first)
    clock = ManualClock()
    entry = write_hot(local, segment_id, SCHEMA, source, shard=0, codebook=codebook, low_seq=1, high_seq=1, clock=clock)
    opened = open_segment(local, entry, SCHEMA, codebook, None)
    if graph:
        opened = open_segment(local, add_graph(local, opened, SCHEMA, clock=clock), SCHEMA, codebook, None)
    return opened


def merge(local: OsDir, source: LiveRows, codebook: Codebook | None) -> Segment:
    entry = write_hot(
        local, "f" * 32, SCHEMA, source, shard=0, codebook=codebook, low_seq=1, high_seq=1, clock=ManualClock()
    )
    return open_segment(local, entry, SCHEMA, codebook, None)


@pytest.fixture
def local(tmp_path: Path) -> OsDir:
    return OsDir(tmp_path, sync=False)


@pytest.fixture(scope="module")
def codebook() -> Codebook:
    return make_codebook(SCHEMA, source_of(VECTORS))


def masks(*sizes: int, share: float = 0.8) -> list[Mask]:
    rng = np.random.default_rng(4)
    return [rng.random(size) < share for size in sizes]


def check_rows(merged: Segment, sources: list[Segment], live: list[Mask]) -> None:
    alive = np.concatenate([s.ids().to_numpy()[m] for s, m in zip(sources, live, strict=True)])
    ids = merged.ids().to_numpy()
    assert sorted(ids.tolist()) == sorted(alive.tolist())
    assert merged.vectors(np.arange(merged.rows)).tobytes() == VECTORS[ids].tobytes()
    columns = merged.columns([1, 2])
    assert columns[1].to_pylist() == ids.tolist()
    late = {
        int(i)
        for s, m in zip(sources, live, strict=True)
        if int(s.entry.id, 16) % 2 == 0
        for i in s.ids().to_numpy()[m]
    }
    assert columns[2].to_pylist() == [f"n{i}" if i in late else None for i in ids.tolist()]
    merged.verify()


@pytest.mark.parametrize("sketch", [False, True])
def test_live_rows_of_several_segments_become_one(local: OsDir, codebook: Codebook, sketch: bool) -> None:
    book = codebook if sketch else None
    sources = [write(local, 1, 0, 2000, book), write(local, 2, 2000, 2500, book), write(local, 3, 2500, 5000, book)]
    live = masks(2000, 500, 2500)
    merged = merge(local, LiveRows(sources, live), book)
    check_rows(merged, sources, live)
    found = merged.search(VECTORS[:30], 10, None, SearchRequest(), SearchTally())
    assert recall(merged, found, VECTORS[:30]) >= 0.96


def test_new_rows_say_where_every_row_went(local: OsDir) -> None:
    sources = [write(local, 1, 0, 100, None), write(local, 2, 100, 300, None)]
    live = masks(100, 200)
    source = LiveRows(sources, live)
    ids = source.ids().to_numpy()
    for segment, mask, places in zip(sources, live, source.new_rows, strict=True):
        assert (places >= 0).tolist() == mask.tolist()
        assert ids[places[mask]].tolist() == segment.ids().to_numpy()[mask].tolist()
    rows = np.array([150, 3, 3, 0, 120])
    assert source.vectors(rows).tobytes() == VECTORS[ids[rows]].tobytes()
    assert source.columns([1], rows)[1].to_pylist() == ids[rows].tolist()
    assert source.columns([1])[1].to_pylist() == ids.tolist()
    assert source.columns([9]) == {}


def test_all_rows_count_where_there_is_no_mask(local: OsDir) -> None:
    source = LiveRows([write(local, 1, 0, 100, None)], [None])
    assert source.rows == 100
    assert source.new_rows[0].tolist() == list(range(100))


def test_codes_are_carried_over_under_a_shared_codebook(local: OsDir, codebook: Codebook) -> None:
    sources = [write(local, 1, 0, 2000, codebook), write(local, 2, 2000, 4000, codebook)]
    live = masks(2000, 2000)
    source = LiveRows(sources, live)
    carried = source.coded(CODEBOOK_ID)
    assert carried is not None
    assert source.coded("0" * 32) is None
    merged = merge(local, source, codebook)
    ids = np.concatenate([s.ids().to_numpy()[m] for s, m in zip(sources, live, strict=True)])
    fresh = write_hot(
        local,
        "e" * 32,
        SCHEMA,
        source_of(VECTORS[ids], {1: pa.array(ids), 2: source.columns([2])[2]}),
        shard=0,
        codebook=codebook,
        low_seq=1,
        high_seq=1,
        clock=ManualClock(),
    )
    assert fresh.files["sketch"].sha256 == merged.entry.files["sketch"].sha256
    assert fresh.files["vectors"].sha256 == merged.entry.files["vectors"].sha256


def test_segments_without_a_sketch_are_coded_anew(local: OsDir, codebook: Codebook) -> None:
    sources = [write(local, 1, 0, 2000, codebook), write(local, 2, 2000, 2500, None)]
    source = LiveRows(sources, [None, None])
    assert source.coded(CODEBOOK_ID) is None
    merged = merge(local, source, codebook)
    check_rows(merged, sources, [np.ones(2000, np.bool_), np.ones(500, np.bool_)])


def test_the_largest_graph_is_extended(local: OsDir, codebook: Codebook) -> None:
    sources = [write(local, 1, 0, 3000, codebook, graph=True), write(local, 2, 3000, 4500, codebook, graph=True)]
    live = masks(3000, 1500, share=0.9)
    merged = merge(local, LiveRows(sources, live), codebook)
    check_rows(merged, sources, live)
    graph = merged.graph_file()
    assert graph is not None
    dead = int((~live[0]).sum())
    assert (graph.size, graph.gone) == (merged.rows + dead, dead)
    tally = SearchTally()
    found = merged.search(VECTORS[:40], 10, None, SearchRequest(ef=120), tally)
    assert "graph" in tally.strategies[0]
    assert recall(merged, found, VECTORS[:40]) > 0.96
    measured = graph.calibration
    again = merge(OsDir(local.path("again"), sync=False), LiveRows([merged], [np.arange(merged.rows) != 7]), codebook)
    smaller = again.graph_file()
    assert smaller is not None
    assert (smaller.gone, smaller.calibration) == (dead + 1, measured)
    assert again.rows == merged.rows - 1


def test_a_single_row_has_a_graph_too(local: OsDir) -> None:
    opened = write(local, 1, 0, 1, None, graph=True)
    found = opened.search(VECTORS[:1], 10, None, SearchRequest(ef=10), SearchTally())
    assert found.rows.tolist() == [[0]]


def test_a_graph_of_which_a_fifth_is_dead_is_left_behind(local: OsDir, codebook: Codebook) -> None:
    source = write(local, 1, 0, 3000, codebook, graph=True)
    merged = merge(local, LiveRows([source], masks(3000, share=0.75)), codebook)
    assert merged.graph_file() is None
