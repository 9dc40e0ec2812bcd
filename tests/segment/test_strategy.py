from __future__ import annotations

import dataclasses

from tiervdb.segment.calibration import FilteredRung, GraphCalibration, GraphRung, SketchCalibration, SketchRung
from tiervdb.segment.request import SearchRequest
from tiervdb.segment.strategy import SCAN_BYTES, ByGraph, BySketch, Exact, Measured, choose

SKETCH = SketchCalibration(
    256, (SketchRung(60, 30, 0.985, 250.0), SketchRung(580, 120, 0.999, 3000.0)), (FilteredRung(0.1, 150),)
)
SLOW_GRAPH = GraphCalibration(256, (GraphRung(256, 0.985, 500.0),))
FAST_GRAPH = GraphCalibration(256, (GraphRung(64, 0.985, 200.0),))
HOT = Measured("cosine", "hot", 300_000, 100, 580, SKETCH, None)
COLD = dataclasses.replace(HOT, tier="cold")
SMALL = Measured("cosine", "hot", 5_000, 100, 0, None, None)
ASK = SearchRequest()
FILTER = SearchRequest(filtered=True)


def test_defaults_take_what_was_measured_cheapest() -> None:
    assert choose(HOT, 10, 300_000, ASK) == BySketch(60, 30)
    assert choose(dataclasses.replace(HOT, graph=SLOW_GRAPH), 10, 300_000, ASK) == BySketch(60, 30)
    assert choose(dataclasses.replace(HOT, graph=FAST_GRAPH), 10, 300_000, ASK) == ByGraph(64)
    assert choose(HOT, 10, 300_000, SearchRequest(recall=0.99)) == BySketch(580, 120)


def test_inner_products_aim_higher() -> None:
    assert choose(dataclasses.replace(HOT, metric="ip"), 10, 300_000, ASK) == BySketch(580, 120)


def test_small_segments_are_searched_exactly() -> None:
    for request in (ASK, FILTER, SearchRequest(nprobe=3), SearchRequest(ef=64), SearchRequest(rerank=0)):
        assert isinstance(choose(SMALL, 10, 5_000, request), Exact)


def test_exact_is_exact() -> None:
    assert isinstance(choose(dataclasses.replace(HOT, graph=FAST_GRAPH), 10, 300_000, SearchRequest(exact=True)), Exact)


def test_parameters_choose_the_index_that_they_belong_to() -> None:
    both = dataclasses.replace(HOT, graph=FAST_GRAPH)
    assert choose(both, 10, 300_000, SearchRequest(ef=256)) == ByGraph(256)
    assert choose(both, 300, 300_000, SearchRequest(ef=256)) == ByGraph(300)
    assert choose(HOT, 10, 300_000, SearchRequest(ef=256)) == BySketch(60, 30)  # no graph yet
    assert choose(both, 10, 300_000, SearchRequest(nprobe=7)) == BySketch(7, 30)
    assert choose(both, 10, 300_000, SearchRequest(nprobe=9999, rerank=5)) == BySketch(580, 10)
    assert choose(both, 10, 300_000, SearchRequest(rerank=0)) == BySketch(60, 0)


def test_filters_that_leave_few_rows_are_answered_exactly() -> None:
    assert isinstance(choose(HOT, 10, 5_000, FILTER), Exact)
    assert isinstance(choose(HOT, 10, 5_001, FILTER), BySketch)
    small = dataclasses.replace(HOT, rows=40_000)  # scanning its codes costs less
    assert isinstance(choose(small, 10, 2_350, FILTER), Exact)
    assert isinstance(choose(small, 10, 2_351, FILTER), BySketch)
    assert isinstance(choose(COLD, 10, 30, FILTER), Exact)  # no more than would be fetched anyway
    assert isinstance(choose(COLD, 10, 31, FILTER), BySketch)


def test_filters_probe_as_many_lists_as_were_measured_for_them_or_all() -> None:
    assert choose(HOT, 10, 40_000, FILTER) == BySketch(150, 60, SCAN_BYTES)
    assert choose(HOT, 10, 20_000, FILTER) == BySketch(None, 60, SCAN_BYTES)


def test_an_exact_scan_that_costs_no_more_than_the_sketch_is_taken() -> None:
    slow = dataclasses.replace(HOT, sketch=SketchCalibration(256, (SketchRung(580, 60, 0.99, 9000.0),), (), 8000.0))
    assert isinstance(choose(slow, 10, 300_000, ASK), Exact)
    assert isinstance(choose(dataclasses.replace(slow, tier="cold"), 10, 300_000, ASK), BySketch)
    assert isinstance(choose(dataclasses.replace(slow, graph=FAST_GRAPH), 10, 300_000, ASK), ByGraph)


def test_filters_do_not_walk_the_graph() -> None:
    assert isinstance(choose(dataclasses.replace(HOT, graph=FAST_GRAPH), 10, 200_000, FILTER), BySketch)


def test_many_dead_rows_count_as_a_filter() -> None:
    assert choose(HOT, 10, 280_000, ASK) == BySketch(60, 30)
    assert choose(HOT, 10, 200_000, ASK) == BySketch(150, 60, SCAN_BYTES)


def test_a_sketch_that_falls_short_leaves_hot_rows_to_an_exact_scan_and_cold_ones_to_its_best() -> None:
    short = SketchCalibration(256, (SketchRung(60, 30, 0.5, 250.0), SketchRung(580, 250, 0.9, 3000.0)))
    assert isinstance(choose(dataclasses.replace(HOT, sketch=short), 10, 300_000, ASK), Exact)
    assert choose(dataclasses.replace(COLD, sketch=short), 10, 300_000, ASK) == BySketch(580, 250)
    with_graph = dataclasses.replace(HOT, sketch=short, graph=SLOW_GRAPH)
    assert choose(with_graph, 10, 300_000, ASK) == ByGraph(256)
