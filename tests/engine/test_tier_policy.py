"""What a policy moves, and that nothing goes back and forth."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import msgspec
import pytest

from tests.engine.values import CLOCK_US, cold, hot
from tests.format.values import ref
from tiervdb.config import TierPolicy
from tiervdb.engine.tier_access import Access
from tiervdb.engine.tier_policy import PolicyMove, hot_bytes, plan
from tiervdb.format.manifest import SegmentEntry

NOW = CLOCK_US + 10_000_000_000  # 10,000 s later
BYTES_PER_ROW = 10


def aged(entry: SegmentEntry, seconds: float = 10_000) -> SegmentEntry:
    """With files of ten bytes a row, or objects of as many."""
    size = entry.rows * BYTES_PER_ROW
    files = {"vectors": msgspec.structs.replace(ref("segments/x"), size=size)} if entry.tier == "hot" else {}
    objects = {k: msgspec.structs.replace(o, size=size) for k, o in entry.objects.items()}
    return msgspec.structs.replace(entry, created_us=NOW - round(seconds * 1e6), files=files, objects=objects)


def searched(**counts: float) -> dict[str, Access]:
    """``s1=5``: segment 1 was searched five times, just now."""
    return {f"{int(name[1:]):032x}": Access(count, NOW) for name, count in counts.items()}


def lines(moves: Sequence[PolicyMove]) -> list[str]:
    return [f"{int(m.segment, 16)} {m.rows}/{m.live} -> {m.to}: {m.reason}" for m in moves]


def brief(moves: Sequence[PolicyMove]) -> list[tuple[int, int, str]]:
    return [(int(m.segment, 16), m.rows, m.to) for m in moves]


def test_golden() -> None:
    entries = [
        aged(hot(1, 400, low=5), 9_000),
        aged(hot(2, 400, low=3), 100),
        aged(hot(3, 400, low=4), 50),
        aged(hot(4, 300, low=6), 10),
        aged(cold(5, 100)),
        aged(hot(6, 500, collection=2), 10),
        aged(msgspec.structs.replace(cold(7, 80), collection=2)),
        aged(msgspec.structs.replace(cold(8, 80), collection=2)),
    ]
    policy = TierPolicy(hot_max_rows=1_000, demote_after=3_600, promote_searches=10)
    assert lines(plan(entries, searched(s2=100, s4=2, s5=50, s7=12, s8=9), policy, NOW)) == [
        "1 400/400 -> cold: its newest rows are 9,000 s old, and demote_after is 3,600",
        "3 300/400 -> cold: 1,100 hot rows are above 1,000; no search of late found a row of it",
        "7 80/80 -> hot: 12.0 searches of late found rows of it, and there is room",
    ]


def test_nothing_moves_without_limits_or_below_them() -> None:
    entries = [aged(hot(1, 100)), aged(cold(2, 100))]
    assert plan(entries, searched(s1=1, s2=1_000), TierPolicy(), NOW) == ()
    assert plan(entries, {}, TierPolicy(hot_max_rows=100, hot_max_bytes=1_000, promote_searches=1), NOW) == ()
    assert plan([], {}, TierPolicy(hot_max_rows=0), NOW) == ()


def test_the_least_searched_go_first_and_among_equals_the_oldest() -> None:
    entries = [aged(hot(n, 100, low=10 - n)) for n in range(1, 6)]
    policy = TierPolicy(hot_max_rows=450, low_water=0.6)
    assert brief(plan(entries, {}, policy, NOW)) == [(5, 100, "cold"), (4, 100, "cold"), (3, 30, "cold")]
    counts = searched(s5=40, s4=2, s3=2.5, s2=2.9)
    assert [m[0] for m in brief(plan(entries, counts, policy, NOW))] == [1, 4, 3], "2 to 2.9 searches are alike"


def test_bytes_are_a_limit_of_their_own() -> None:
    entries = [aged(hot(1, 100)), aged(hot(2, 100))]
    policy = TierPolicy(hot_max_bytes=1_500, hot_max_rows=10_000)
    assert brief(plan(entries, {}, policy, NOW)) == [(1, 80, "cold")], "down to 1,200 bytes"
    both = TierPolicy(hot_max_bytes=1_500, hot_max_rows=190, low_water=0.5)
    assert brief(plan(entries, {}, both, NOW)) == [(1, 100, "cold"), (2, 25, "cold")]


def test_what_is_nearly_all_of_a_segment_is_all_of_it() -> None:
    policy = TierPolicy(hot_max_rows=100, low_water=0.1)
    assert brief(plan([aged(hot(1, 101))], {}, policy, NOW)) == [(1, 101, "cold")]


def test_only_live_rows_count_and_empty_segments_stay() -> None:
    entries = [aged(hot(1, 100, dead=100)), aged(hot(2, 100, dead=60))]
    assert plan(entries, {}, TierPolicy(hot_max_rows=40), NOW) == ()
    assert brief(plan(entries, {}, TierPolicy(hot_max_rows=0, demote_after=1), NOW)) == [(2, 40, "cold")]


def test_old_segments_go_unless_they_are_searched_often() -> None:
    entries = [aged(hot(1), 100), aged(hot(2), 99), aged(hot(3), 100)]
    policy = TierPolicy(demote_after=100, promote_searches=5)
    assert brief(plan(entries, searched(s3=5), policy, NOW)) == [(1, 100, "cold")]
    without = TierPolicy(demote_after=100)
    assert brief(plan(entries, searched(s3=5), without, NOW)) == [(1, 100, "cold"), (3, 100, "cold")]


def test_cold_segments_come_back_as_far_as_there_is_room() -> None:
    entries = [aged(hot(1, 500)), *(aged(cold(n, 100)) for n in (2, 3, 4, 5))]
    counts = searched(s2=10, s3=30, s4=20, s5=9)
    policy = TierPolicy(hot_max_rows=1_000, low_water=0.7, promote_searches=10)
    assert brief(plan(entries, counts, policy, NOW)) == [(3, 100, "hot"), (4, 100, "hot")]
    tight = TierPolicy(hot_max_bytes=8_000, low_water=0.75, promote_searches=10)
    assert brief(plan(entries, counts, tight, NOW)) == [(3, 100, "hot")]
    assert [m[0] for m in brief(plan(entries, counts, TierPolicy(promote_searches=10), NOW))] == [3, 4, 2]


def test_what_was_demoted_rests_for_a_half_life() -> None:
    policy = TierPolicy(promote_searches=1, half_life=60)
    assert plan([aged(cold(1), 59)], searched(s1=9), policy, NOW) == ()
    assert brief(plan([aged(cold(1), 60)], searched(s1=9), policy, NOW)) == [(1, 100, "hot")]


def test_a_cold_segments_bytes_are_those_that_it_would_have() -> None:
    entry = aged(cold(1, 100))
    dead = msgspec.structs.replace(entry, dead=50)
    assert (hot_bytes(entry), hot_bytes(dead), hot_bytes(aged(hot(2, 30)))) == (1_000, 500, 300)


def moved(entries: Sequence[SegmentEntry], moves: Sequence[PolicyMove], now: int) -> list[SegmentEntry]:
    """Whole segments change their tier and keep their id; a split one keeps the rest."""
    to = {move.segment: move for move in moves}
    result = []
    for entry in entries:
        move = to.get(entry.id)
        number = int(entry.id, 16)
        if move is None:
            result.append(entry)
        elif move.to == "cold":
            result.append(
                msgspec.structs.replace(aged(cold(number, entry.rows)), low_seq=entry.low_seq, created_us=now)
            )
        else:
            made = aged(hot(number, entry.rows, low=entry.low_seq))
            result.append(msgspec.structs.replace(made, created_us=now))
    return result


def test_what_would_be_the_next_to_go_does_not_come_back() -> None:
    policy = TierPolicy(hot_max_rows=1_000, promote_searches=10)
    entries = [aged(hot(1)), aged(cold(2))]
    assert plan(entries, searched(s1=20, s2=15), policy, NOW) == ()
    assert brief(plan(entries, searched(s1=6, s2=15), policy, NOW)) == [(2, 100, "hot")]


def _none(_chance: random.Random, _number: int) -> float:
    return 0.0


def _wild(chance: random.Random, _number: int) -> float:
    return chance.random() * 40


def _steady(chance: random.Random, number: int) -> float:
    """One in ten segments is searched often, as in life; the counts of all waver by a third."""
    return (60.0 if number % 10 == 3 else 2.0) * chance.uniform(0.67, 1.33)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("heat", "seconds"), [(_none, 600), (_steady, 600), (_wild, 10)])
def test_a_hundred_rounds_across_the_limit_move_no_segment_more_than_twice(
    seed: int, heat: Callable[[random.Random, int], float], seconds: int
) -> None:
    """Segments come until the limit is crossed, others lose their rows until there is room again; all are searched."""
    chance = random.Random(seed)
    policy = TierPolicy(hot_max_rows=1_000, promote_searches=10, demote_after=50_000, half_life=3_600)
    entries: list[SegmentEntry] = []
    times: Counter[str] = Counter()
    number, now = 0, NOW
    for _ in range(100):
        while sum(e.live for e in entries if e.tier == "hot") <= 1_000:
            number += 1
            entries.append(msgspec.structs.replace(aged(hot(number, chance.randint(20, 120))), created_us=now))
        for _ in range(3):
            counts: Mapping[str, Access] = {e.id: Access(heat(chance, int(e.id, 16)), now) for e in entries}
            moves = plan(entries, counts, policy, now)
            times.update(move.segment for move in moves)
            entries = moved(entries, moves, now)
            now += seconds * 1_000_000
        assert sum(e.live for e in entries if e.tier == "hot") <= 1_000
        dying = chance.sample([e.id for e in entries if e.tier == "hot"], 2)
        entries = [e for e in entries if e.id not in dying]
    assert number > 100
    assert max(times.values()) <= 2, times.most_common(3)
