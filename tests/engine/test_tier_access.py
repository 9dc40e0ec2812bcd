from __future__ import annotations

import pytest

from tiervdb.clock import ManualClock
from tiervdb.engine.tier_access import Access, AccessCounts


def test_a_search_counts_half_after_a_half_life(clock: ManualClock) -> None:
    counts = AccessCounts(clock, half_life=100)
    counts.note([("a", 4), ("b", 1)])
    clock.advance(100)
    counts.note([("a", 1)])
    known = counts.of(["a", "b", "c"])
    assert known["a"].at(clock.now_us(), 100) == pytest.approx(3)
    assert known["b"].at(clock.now_us(), 100) == pytest.approx(0.5)
    assert "c" not in known


def test_a_clock_that_is_set_back_makes_nothing_count_more() -> None:
    assert Access(2.0, 1_000_000_000).at(0, 1.0) == 2.0


def test_merged_segments_count_as_the_one_searched_most(clock: ManualClock) -> None:
    counts = AccessCounts(clock, half_life=100)
    counts.note([("old", 10)])
    clock.advance(200)
    counts.note([("new", 3)])
    counts.inherit(["old", "new", "never"], ["both"])
    assert counts.of(["old", "new", "both"]) == {"both": Access(3, clock.now_us())}


def test_counts_of_segments_that_are_gone_are_forgotten(clock: ManualClock) -> None:
    counts = AccessCounts(clock, half_life=100)
    counts.note([("gone", 1), ("here", 1)])
    assert set(counts.of(["here"])) == {"here"}
    assert set(counts.of(["here", "gone"])) == {"here"}
    counts.inherit(["here"], [])
    assert counts.of(["here"]) == {}
