from __future__ import annotations

import math

import msgspec
import pytest

from tests.engine.values import cold, hot
from tiervdb.engine.tier_plan import Move, TierPlan, plan_demotion, plan_promotion
from tiervdb.errors import InvalidInputError
from tiervdb.format.manifest import SegmentEntry


def cold_until(seq: int, n: int) -> SegmentEntry:
    """A cold segment of 100 rows, the last of which was written by commit ``seq``."""
    return msgspec.structs.replace(cold(n, 100), high_seq=seq)


def moved(plan: TierPlan) -> list[tuple[int, int]]:
    return [(int(move.segment, 16), move.rows) for move in plan.moves]


def test_the_oldest_go_first_and_the_last_one_is_split() -> None:
    entries = [hot(1, 100, low=9), hot(2, 100, low=3), hot(3, 100, low=6), hot(4, 100, low=12)]
    plan = plan_demotion(entries, 0.6)
    assert moved(plan) == [(2, 100), (3, 100), (1, 40)]
    assert [move.live for move in plan.moves] == [100, 100, 100]
    assert (plan.to, plan.rows, plan.reason) == ("cold", 240, "60% of 400 rows are to be cold, 0 are")
    assert moved(plan_demotion(entries, 1)) == [(2, 100), (3, 100), (1, 100), (4, 100)]


def test_segments_of_the_same_age_go_in_the_order_of_their_ids() -> None:
    assert moved(plan_demotion([hot(2, 10, low=1), hot(1, 10, low=1)], 1)) == [(1, 10), (2, 10)]
    assert moved(plan_promotion([cold(2, 10), cold(1, 10)], 1)) == [(1, 10), (2, 10)]


def test_only_live_rows_count() -> None:
    entries = [hot(1, 100, dead=60), hot(2, 100, dead=100), hot(3, 100)]
    assert moved(plan_demotion(entries, 0.5)) == [(1, 40), (3, 30)]
    assert moved(plan_demotion(entries, 1)) == [(1, 40), (3, 100)], "nothing is left of segment 2"


def test_what_is_cold_already_counts() -> None:
    entries = [cold(1, 100), hot(2, 100), hot(3, 100)]
    assert moved(plan_demotion(entries, 0.5)) == [(2, 50)]
    for enough in (0, 0.1, 1 / 3):
        assert plan_demotion(entries, enough).moves == ()
    assert plan_demotion([], 1).moves == ()


def test_the_newest_come_back_first_and_whole() -> None:
    entries = [cold_until(5, 1), cold_until(9, 2), cold_until(7, 3), hot(4, 100)]
    plan = plan_promotion(entries, 0.6)
    assert moved(plan) == [(2, 100), (3, 100)], "140 rows are wanted: segments are not split"
    assert (plan.to, plan.rows, plan.reason) == ("hot", 200, "60% of 400 rows are to be hot, 100 are")
    assert moved(plan_promotion(entries, 1)) == [(2, 100), (3, 100), (1, 100)]
    for enough in (0, 0.25):
        assert plan_promotion(entries, enough).moves == ()


@pytest.mark.parametrize("fraction", [-0.01, 1.01, math.nan, math.inf])
def test_what_is_no_fraction(fraction: float) -> None:
    for plan in (plan_demotion, plan_promotion):
        with pytest.raises(InvalidInputError, match="number from 0 to 1"):
            plan([hot(1)], fraction)


def test_groups_hold_what_fits_or_one_move() -> None:
    def grouped(*rows: int) -> list[list[int]]:
        plan = TierPlan("cold", tuple(Move(str(n), r, r) for n, r in enumerate(rows)), "")
        return [[move.rows for move in group] for group in plan.groups(100)]

    assert grouped() == []
    assert grouped(100) == [[100]]
    assert grouped(60, 40, 1) == [[60, 40], [1]]
    assert grouped(60, 41, 59, 500, 3) == [[60], [41, 59], [500], [3]]
