from __future__ import annotations

import msgspec

from tests.engine.values import cold, hot
from tests.format.values import ref
from tiervdb.engine.cold_merge_plan import COLD_ROWS, plan_cold_merge
from tiervdb.engine.merge_plan import MergePlan
from tiervdb.format.manifest import SegmentEntry


def dying(n: int, rows: int, dead: int) -> SegmentEntry:
    return msgspec.structs.replace(cold(n, rows), dead=dead, deletions=ref("x"))


def merged(entries: list[SegmentEntry]) -> tuple[list[int], str] | None:
    planned: MergePlan | None = plan_cold_merge(entries)
    return None if planned is None else ([int(i, 16) for i in planned.segments], planned.reason)


def test_four_of_a_size_become_one() -> None:
    entries = [cold(n, 1_100 + n) for n in range(1, 4)]
    assert merged(entries) is None
    assert merged([*entries, cold(4, 5_000), hot(5, 1_000)]) is None
    assert merged([*entries, cold(9, 900), cold(5, 1_000)]) is None, "900 is of the class below"
    assert merged([*entries, cold(7, 1_500), cold(8, 1_500)]) == ([1, 2, 3, 7], "4 cold segments of about 1,101 rows")


def test_the_smallest_class_comes_first_and_the_oldest_of_it() -> None:
    large = [cold(n, 100_000) for n in range(1, 5)]
    small = [msgspec.structs.replace(cold(n, 40), low_seq=20 - n) for n in range(5, 10)]
    assert merged([*large, *small]) == ([9, 8, 7, 6], "4 cold segments of about 40 rows")


def test_what_is_full_is_left_alone() -> None:
    full = COLD_ROWS // 4
    assert merged([cold(n, full + 1) for n in range(1, 9)]) is None
    chosen = merged([cold(n, full) for n in range(1, 9)])
    assert chosen is not None
    assert chosen[0] == [1, 2, 3, 4], "together they are as large as one may be"


def test_a_fifth_of_the_rows_dead() -> None:
    assert merged([dying(1, 1_000, 199)]) is None
    assert merged([cold(2, 10), dying(1, 1_000, 200)]) == ([1], "200 of its 1,000 rows are dead")
    assert merged([dying(1, 1_000, 1_000)]) == ([1], "1,000 of its 1,000 rows are dead")
