"""Which objects stand for the log, where merged ones overlap the parts that they hold and each other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tiervdb.backup.log_cover import LogKey, cover, span, superseded
from tiervdb.format.repository_paths import BackupKey, MergedKey, PartKey

LINE, OTHER = "0" * 32, "1" * 32


def part(n: int, timeline: str = LINE) -> PartKey:
    return PartKey(timeline, 0, n)


def merged(first: int, last: int) -> MergedKey:
    return MergedKey(LINE, 0, first, last)


spans = st.tuples(st.integers(1, 30), st.integers(0, 12))
logs = st.lists(spans.map(lambda s: merged(s[0], s[0] + s[1]) if s[1] else part(s[0])), unique=True, max_size=25)


def numbers(keys: list[LogKey]) -> set[int]:
    return {n for key in keys for n in range(span(key)[0], span(key)[1] + 1)}


@given(logs)
def test_no_number_is_lost_and_none_is_needless(log: list[LogKey]) -> None:
    chosen = cover(log)
    assert numbers(chosen) == numbers(log)
    assert set(chosen) <= set(log)
    assert [span(key)[0] for key in chosen] == sorted({span(key)[0] for key in chosen})
    for key in chosen:
        assert numbers([other for other in chosen if other != key]) != numbers(log), f"{key} is needless"


def test_a_merged_object_stands_for_its_parts() -> None:
    assert cover([part(1), part(2), merged(1, 3), part(3), part(4)]) == [merged(1, 3), part(4)]
    assert cover([merged(1, 3), merged(1, 9), merged(4, 9)]) == [merged(1, 9)]


def test_missing_numbers_stay_missing() -> None:
    assert cover([part(2), merged(5, 7), part(9)]) == [part(2), merged(5, 7), part(9)]
    assert cover([]) == []


def test_each_timeline_is_for_itself() -> None:
    keys = [part(1), part(1, OTHER), merged(1, 2), BackupKey(LINE)]
    assert superseded(key.key for key in keys) == {part(1).key}
