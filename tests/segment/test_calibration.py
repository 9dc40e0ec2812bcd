from __future__ import annotations

import numpy as np

from tiervdb.segment.calibration import (
    FilteredRung,
    GraphCalibration,
    GraphRung,
    SketchCalibration,
    SketchRung,
    hits,
    ladder,
    scaled_for_k,
    steps_between,
)

TABLE = SketchCalibration(
    256,
    (
        SketchRung(4, 20, 0.90, 50.0),
        SketchRung(40, 20, 0.96, 90.0),
        SketchRung(40, 60, 0.985, 120.0),
        SketchRung(60, 30, 0.985, 110.0),
        SketchRung(200, 60, 0.999, 700.0),
    ),
    (FilteredRung(0.5, 70), FilteredRung(0.1, 150)),
)


def test_the_cheapest_rung_that_reaches_the_recall_is_chosen() -> None:
    assert TABLE.choose(0.98) == SketchRung(60, 30, 0.985, 110.0)
    assert TABLE.choose(0.95) == SketchRung(40, 20, 0.96, 90.0)
    assert TABLE.choose(0.9999) is None
    assert TABLE.last() == SketchRung(200, 60, 0.999, 700.0)
    assert TABLE.best_recall == 0.999


def test_the_fewest_lists_win_where_no_time_was_measured() -> None:
    table = SketchCalibration(
        9, (SketchRung(9, 10, 1.0, 0.0), SketchRung(3, 30, 1.0, 0.0), SketchRung(3, 20, 1.0, 0.0))
    )
    assert table.choose(0.98) == SketchRung(3, 20, 1.0, 0.0)


def test_filters_take_the_lists_measured_for_the_next_smaller_share() -> None:
    assert TABLE.filtered_nprobe(0.7) == 70
    assert TABLE.filtered_nprobe(0.5) == 70
    assert TABLE.filtered_nprobe(0.3) == 150
    assert TABLE.filtered_nprobe(0.09) is None  # not measured: all lists with a match


def test_the_smallest_ef_that_reaches_the_recall_is_chosen() -> None:
    table = GraphCalibration(256, (GraphRung(64, 0.9, 1.0), GraphRung(128, 0.981, 2.0), GraphRung(256, 0.99, 1.5)))
    assert table.choose(0.98) == GraphRung(128, 0.981, 2.0)
    assert table.choose(0.999) is None
    assert table.last() == GraphRung(256, 0.99, 1.5)


def test_more_neighbours_need_more_candidates() -> None:
    rung = SketchRung(60, 30, 0.98, 1.0)
    assert scaled_for_k(rung, 1, 500) == scaled_for_k(rung, 10, 500) == (60, 30)
    nprobe, rerank = scaled_for_k(rung, 100, 500)
    assert 60 < nprobe <= 180
    assert rerank == 300
    assert scaled_for_k(rung, 1000, 70)[0] == 70


def test_ties_at_the_last_place_count_as_hits() -> None:
    truth = np.array([[0.1, 0.2, 0.2]], np.float32)
    assert hits(np.array([[0.1, 0.2, 0.2]], np.float32), truth)[0] == 1.0
    assert np.isclose(hits(np.array([[0.1, 0.2, 0.3]], np.float32), truth)[0], 2 / 3)
    assert np.isclose(hits(np.array([[0.1]], np.float32), truth)[0], 1 / 3)
    negative = np.array([[-5.0, -4.0, -4.0]], np.float32)
    assert hits(negative, negative)[0] == 1.0


def test_ladders_rise_to_all_lists() -> None:
    for nlist in (1, 2, 3, 16, 580, 4096):
        rungs = ladder(nlist)
        assert rungs == sorted(set(rungs))
        assert rungs[0] >= 1
        assert rungs[-1] == nlist
    assert steps_between(40, 60) == [44, 49, 54]
    assert steps_between(None, 60) == steps_between(40, None) == steps_between(1, 2) == []
