from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tiervdb.storage.coalesce import coalesce, cut
from tiervdb.storage.object_store import ByteRange

RANGES = st.lists(st.builds(ByteRange, st.integers(0, 2_000), st.integers(1, 300)), max_size=20)
DATA = bytes(n % 251 for n in range(3_000))


@given(RANGES, st.integers(0, 400), st.integers(1, 1_000))
def test_each_range_is_cut_out_of_the_run_that_covers_it(ranges: list[ByteRange], gap: int, longest: int) -> None:
    runs = coalesce(ranges, gap, longest)
    pieces = [DATA[run.span.start : run.span.end] for run in runs]
    assert cut(ranges, runs, pieces) == [DATA[r.start : r.end] for r in ranges]
    assert sorted(number for run in runs for number in run.parts) == list(range(len(ranges)))


@given(RANGES, st.integers(0, 400), st.integers(1, 1_000))
def test_runs_are_short_or_of_one_range(ranges: list[ByteRange], gap: int, longest: int) -> None:
    for run in coalesce(ranges, gap, longest):
        assert run.span.length <= longest or len({ranges[n].start for n in run.parts}) == 1


def test_small_gaps_are_read_over_and_large_ones_not() -> None:
    ranges = [ByteRange(0, 10), ByteRange(100, 10), ByteRange(19, 1)]
    assert [run.span for run in coalesce(ranges, gap=9)] == [ByteRange(0, 20), ByteRange(100, 10)]
    assert [run.span for run in coalesce(ranges, gap=80)] == [ByteRange(0, 110)]
