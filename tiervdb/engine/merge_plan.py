"""Which hot segments are merged next, and which get a graph: pure decisions over a manifest's entries.

Segments are grouped in size classes, each four times the one below; four segments of a class become one of the next.
So a row is rewritten about once for each class, and few segments remain: at most three a class, and at most
MOST_LARGE that are large enough for an index.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from tiervdb.format.manifest import SegmentEntry

FAN_IN = 4
MOST_LARGE = 8
DEAD_SHARE = 0.25  # from which on a segment is rewritten without its dead rows


@dataclass(frozen=True)
class MergePlan:
    """The segments to become one, oldest first, and why."""

    segments: tuple[str, ...]
    reason: str


def plan_merge(entries: Sequence[SegmentEntry], dim: int, small_floats: int) -> MergePlan | None:
    """The next merge of one collection's hot segments; None: nothing is worth it."""
    hot = sorted((e for e in entries if e.tier == "hot"), key=lambda e: (e.low_seq, e.id))
    return (
        _dead(hot)
        or _full_class(hot, dim, small_floats)
        or _too_many(hot, dim, small_floats)
        or _without_sketch(hot, dim, small_floats)
    )


def plan_graph(entries: Sequence[SegmentEntry], graph_min_rows: int) -> SegmentEntry | None:
    """The hot segment that should get a graph next, the largest first."""
    wanted = [e for e in entries if e.tier == "hot" and e.live >= graph_min_rows and "graph" not in e.files]
    return max(wanted, key=lambda e: (e.rows, e.id), default=None)


def size_class(entry: SegmentEntry, dim: int, small_floats: int) -> int:
    """0 for segments just large enough for an index, below it negative."""
    return math.floor(math.log(max(1, entry.live) * dim / small_floats, FAN_IN) + 1e-9)


def _dead(hot: Sequence[SegmentEntry]) -> MergePlan | None:
    for entry in hot:
        if entry.dead and entry.dead >= DEAD_SHARE * entry.rows:
            return MergePlan((entry.id,), f"{entry.dead} of its {entry.rows} rows are dead")
    return None


def _full_class(hot: Sequence[SegmentEntry], dim: int, small_floats: int) -> MergePlan | None:
    classes: defaultdict[int, list[SegmentEntry]] = defaultdict(list)
    for entry in hot:
        classes[size_class(entry, dim, small_floats)].append(entry)
    for number in sorted(classes):
        members = classes[number]
        if len(members) >= FAN_IN:
            return MergePlan(tuple(e.id for e in members), f"{len(members)} segments of one size class")
    return None


def _without_sketch(hot: Sequence[SegmentEntry], dim: int, small_floats: int) -> MergePlan | None:
    """A flush leaves them; most are merged with others before their turn comes."""
    for entry in hot:
        if size_class(entry, dim, small_floats) >= 0 and "sketch" not in entry.files:
            return MergePlan((entry.id,), "it is large and has no sketch yet")
    return None


def _too_many(hot: Sequence[SegmentEntry], dim: int, small_floats: int) -> MergePlan | None:
    large = [e for e in hot if size_class(e, dim, small_floats) >= 0]
    if len(large) <= MOST_LARGE:
        return None
    smallest = sorted(large, key=lambda e: (e.live, e.id))[: len(large) - MOST_LARGE + 1]
    ids = {e.id for e in smallest}
    return MergePlan(tuple(e.id for e in large if e.id in ids), f"more than {MOST_LARGE} large segments")
