"""Which cold segments are rewritten as one: a pure decision over a manifest's entries.

A cold segment is good when it is large: each costs every search some reads. Those that are not yet full are grouped in
size classes, each four times the one below, and four of a class become one, of at most COLD_ROWS rows; so a row is
uploaded again about once a class. A segment with a fifth of its rows dead is rewritten without them.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from tiervdb.engine.merge_plan import FAN_IN, MergePlan
from tiervdb.format.manifest import SegmentEntry

COLD_ROWS = 1_000_000  # of a cold segment, at most
COLD_DEAD_SHARE = 0.2  # from which on a segment is rewritten without its dead rows
_FULL = COLD_ROWS // FAN_IN  # four with more do not fit in one


def plan_cold_merge(entries: Sequence[SegmentEntry]) -> MergePlan | None:
    """The next rewriting of one collection's cold segments; None: nothing is worth it."""
    cold = sorted((e for e in entries if e.tier == "cold"), key=lambda e: (e.low_seq, e.id))
    return _dead(cold) or _full_class(cold)


def size_class(entry: SegmentEntry) -> int:
    """Segments of a class have about as many live rows."""
    return math.floor(math.log(max(1, entry.live), FAN_IN) + 1e-9)


def _dead(cold: Sequence[SegmentEntry]) -> MergePlan | None:
    for entry in cold:
        if entry.dead and entry.dead >= COLD_DEAD_SHARE * entry.rows:
            return MergePlan((entry.id,), f"{entry.dead:,} of its {entry.rows:,} rows are dead")
    return None


def _full_class(cold: Sequence[SegmentEntry]) -> MergePlan | None:
    classes: defaultdict[int, list[SegmentEntry]] = defaultdict(list)
    for entry in cold:
        if entry.live <= _FULL:
            classes[size_class(entry)].append(entry)
    for number in sorted(classes):
        members = classes[number][:FAN_IN]
        if len(members) == FAN_IN:
            return MergePlan(tuple(e.id for e in members), f"{FAN_IN} cold segments of about {members[0].live:,} rows")
    return None
