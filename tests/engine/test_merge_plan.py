from __future__ import annotations

import random

import msgspec
import pytest

from tests.engine import values
from tests.engine.values import an_id, cold
from tests.format.values import ref
from tiervdb.engine.merge_plan import FAN_IN, MOST_LARGE, plan_graph, plan_merge, size_class
from tiervdb.format.manifest import SegmentEntry

SMALL = 1000  # floats; with dim 2 a segment of 500 rows is of class 0


def hot(number: int, rows: int, dead: int = 0, low: int | None = None) -> SegmentEntry:
    """A hot segment with a sketch."""
    entry = values.hot(number, rows, dead=dead) if low is None else values.hot(number, rows, dead=dead, low=low)
    sketch = ref(f"segments/{entry.id}.sketch")
    return msgspec.structs.replace(entry, files={**entry.files, "sketch": sketch})


def test_what_is_large_and_has_no_sketch_is_written_anew_when_nothing_else_is_due() -> None:
    plain = values.hot(3, 500)
    assert planned([plain]) == [3]
    assert planned([plain, *(hot(n, 40) for n in range(10, 14))]) == [10, 11, 12, 13]
    assert planned([values.hot(3, 499)]) is None


def planned(entries: list[SegmentEntry]) -> list[int] | None:
    plan = plan_merge(entries, 2, SMALL)
    return None if plan is None else [int(segment, 16) for segment in plan.segments]


def test_classes_are_four_times_apart() -> None:
    rows = [7, 31, 32, 124, 125, 499, 500, 1999, 2000, 8000]
    assert [size_class(hot(1, r), 2, SMALL) for r in rows] == [-4, -3, -2, -2, -1, -1, 0, 0, 1, 2]
    assert size_class(hot(1, 500, dead=400), 2, SMALL) == -2
    assert size_class(hot(1, 5, dead=5), 2, SMALL) < -4


def test_a_full_class_is_merged_smallest_first_oldest_first() -> None:
    small = [hot(n, 40, low=20 - n) for n in range(1, FAN_IN + 1)]
    large = [hot(n, 600) for n in range(10, 10 + FAN_IN)]
    assert planned(small[:-1] + large[:-1]) is None
    assert planned([*large, *small[:-1]]) == [10, 11, 12, 13]
    assert planned([*large, *small]) == [4, 3, 2, 1]


def test_dead_rows_come_first() -> None:
    entries = [*(hot(n, 40) for n in range(1, 6)), hot(9, 100, dead=25)]
    assert planned(entries) == [9]
    assert planned([hot(9, 100, dead=24)]) is None
    assert planned([hot(9, 100, dead=100)]) == [9]


def test_cold_segments_are_left_alone() -> None:
    assert planned([cold(n, 40) for n in range(1, 9)]) is None


def test_there_are_never_too_many_large_segments() -> None:
    """However many rows arrive in what sizes: merging as planned ends, with few segments that are large."""
    for seed in range(5):
        rng = random.Random(seed)
        entries: list[SegmentEntry] = []
        for number in range(1, 200):
            entries.append(hot(number, rng.choice([1, 40, 300, 800, 5000]), dead=0))
            steps = 0
            while (plan := plan_merge(entries, 2, SMALL)) is not None:
                inputs = [e for e in entries if e.id in plan.segments]
                assert len(inputs) > 1
                rest = [e for e in entries if e.id not in plan.segments]
                merged = hot(1000 * number + steps, sum(e.live for e in inputs), low=min(e.low_seq for e in inputs))
                entries = [*rest, merged]
                steps += 1
                assert steps < 20
            large = [e for e in entries if size_class(e, 2, SMALL) >= 0]
            assert len(large) <= MOST_LARGE
            assert len(entries) <= MOST_LARGE + 3 * 6


@pytest.mark.parametrize(
    ("entries", "wanted"),
    [
        ([], None),
        ([hot(1, 99)], None),
        ([hot(1, 100), hot(2, 150), cold(3, 900)], 2),
        ([hot(1, 150, dead=60)], None),
        ([msgspec.structs.replace(hot(1, 500), files={"graph": ref(f"segments/{an_id(1)}.graph")}), hot(2, 100)], 2),
    ],
)
def test_the_largest_segment_without_a_graph_gets_one(entries: list[SegmentEntry], wanted: int | None) -> None:
    found = plan_graph(entries, graph_min_rows=100)
    assert (None if found is None else int(found.id, 16)) == wanted
