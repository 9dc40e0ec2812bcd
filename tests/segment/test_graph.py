from __future__ import annotations

import threading
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tests.segment.vector_data import METRICS, Made, clustered, duplicates, gaussian, make_hot, recall
from tiervdb.clock import ManualClock
from tiervdb.errors import CorruptionError
from tiervdb.segment.hot import add_graph
from tiervdb.segment.request import SearchRequest, SearchTally
from tiervdb.segment.segment import Segment, open_segment
from tiervdb.types import Metric

BY_GRAPH = SearchRequest(ef=100)


def with_graph(made: Made, threads: int | None = None) -> tuple[Made, Segment]:
    entry = add_graph(made.local, made.segment, made.schema, clock=ManualClock(), threads=threads)
    segment = open_segment(made.local, entry, made.schema, made.codebook, None)
    return Made(made.local, made.schema, entry, made.codebook, segment, made.vectors), segment


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return with_graph(make_hot(tmp_path_factory.mktemp("graph"), clustered(4000, 24)))[0]


@pytest.mark.parametrize("metric", METRICS)
def test_a_graph_finds_the_nearest(tmp_path: Path, metric: Metric) -> None:
    made, segment = with_graph(make_hot(tmp_path, clustered(3000, 16), metric))
    queries = made.vectors[:40] + gaussian(40, 16, seed=9) * np.float32(0.2)
    tally = SearchTally()
    found = segment.search(queries, 10, None, BY_GRAPH, tally)
    assert recall(segment, found, queries) > (0.9 if metric == "ip" else 0.97)
    assert "graph, ef=100" in tally.strategies[0]
    segment.verify()


def test_the_files_are_those_of_the_entry(made: Made) -> None:
    assert set(made.entry.files) == {"vectors", "ids", "columns", "sketch", "graph", "graphrows"}
    for role in ("graph", "graphrows"):
        assert made.local.size(made.entry.files[role].name) == made.entry.files[role].size
    graph = made.segment.graph_file()
    assert graph is not None
    assert (graph.size, graph.gone) == (4000, 0)
    assert graph.calibration.queries == 256
    assert graph.calibration.last().recall > 0.97


def test_one_thread_builds_the_same_graph_again(tmp_path: Path) -> None:
    entries = [
        with_graph(make_hot(tmp_path / name, clustered(1000, 8), sketch=False), threads=1)[0].entry for name in "ab"
    ]
    assert entries[0] == entries[1]


def test_dead_rows_are_masked(made: Made) -> None:
    live = np.random.default_rng(1).random(4000) < 0.7
    tally = SearchTally()
    found = made.segment.search(made.vectors[:30], 10, live, BY_GRAPH, tally)
    assert live[found.rows].all()
    assert recall(made.segment, found, made.vectors[:30], live) > 0.95
    assert "graph" in tally.strategies[0]


def test_the_sketch_answers_where_the_graph_leaves_too_few(made: Made) -> None:
    live = np.random.default_rng(1).random(4000) < 0.05
    tally = SearchTally()
    found = made.segment.search(made.vectors[:30], 10, live, BY_GRAPH, tally)
    assert found.rows.shape == (30, 10)
    assert live[found.rows].all()
    assert recall(made.segment, found, made.vectors[:30], live) > 0.95
    assert "graph, ef" not in tally.strategies[0]


def test_more_neighbours_than_the_graph_has_rows(made: Made) -> None:
    found = made.segment.search(made.vectors[:2], 5000, None, BY_GRAPH, SearchTally())
    assert found.rows.shape == (2, 4000)
    assert sorted(found.rows[0].tolist()) == list(range(4000))


def test_duplicates_that_tear_a_graph_apart_are_still_found(tmp_path: Path) -> None:
    made, segment = with_graph(make_hot(tmp_path, duplicates(20, 150, 16), sketch=False))
    queries = made.vectors[:20]
    for request in (SearchRequest(ef=300), SearchRequest()):
        found = segment.search(queries, 100, None, request, SearchTally())
        assert found.rows.shape == (20, 100)
        assert all(len(set(line.tolist())) == 100 for line in found.rows)


def test_a_batch_and_single_queries_agree(made: Made) -> None:
    together = made.segment.search(made.vectors[:20], 5, None, BY_GRAPH, SearchTally())
    for at in range(20):
        alone = made.segment.search(made.vectors[at : at + 1], 5, None, BY_GRAPH, SearchTally())
        assert alone.rows[0].tolist() == together.rows[at].tolist()


def test_threads_share_a_graph(made: Made) -> None:
    segment = open_segment(made.local, made.entry, made.schema, made.codebook, None)
    expected = made.segment.search(made.vectors[:60], 10, None, BY_GRAPH, SearchTally()).rows
    wrong: list[int] = []

    def work() -> None:
        for at in range(60):
            request = SearchRequest(ef=100 if at % 2 else 60)
            rows = segment.search(made.vectors[at : at + 1], 10, None, request, SearchTally()).rows
            if at % 2 and rows[0].tolist() != expected[at].tolist():
                wrong.append(at)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("role", ["graph", "graphrows"])
def test_damage_is_found_before_hnswlib_sees_it(tmp_path: Path, role: str) -> None:
    made, _ = with_graph(make_hot(tmp_path, clustered(1000, 8), sketch=False))
    name = made.entry.files[role].name
    data = bytearray(made.local.read(name))
    data[len(data) // 2] ^= 1
    made.local.write_atomic(name, bytes(data))
    with pytest.raises(CorruptionError, match=role):
        made.reopened().search(made.vectors[:1], 5, None, BY_GRAPH, SearchTally())
    with pytest.raises(CorruptionError, match=role):
        made.reopened().verify()
    made.local.write_atomic(name, bytes(data[: len(data) // 2]))
    with pytest.raises(CorruptionError, match=role):
        made.reopened().search(made.vectors[:1], 5, None, BY_GRAPH, SearchTally())


def test_labels_that_are_not_the_segments_rows_are_refused(tmp_path: Path) -> None:
    made, _ = with_graph(make_hot(tmp_path / "a", clustered(1000, 8), sketch=False))
    other, _ = with_graph(make_hot(tmp_path / "b", clustered(900, 8), sketch=False))
    made.local.write_atomic(made.entry.files["graphrows"].name, other.local.read(other.entry.files["graphrows"].name))
    entry = msgspec.structs.replace(made.entry, files={**made.entry.files, "graphrows": other.entry.files["graphrows"]})
    segment = open_segment(made.local, entry, made.schema, None, None)
    with pytest.raises(CorruptionError, match="graphrows"):
        segment.search(made.vectors[:1], 5, None, BY_GRAPH, SearchTally())
