"""Which hot segments are searched as one, and the unions that are kept in memory for it."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tiervdb.engine.source import SegmentSource, Source
from tiervdb.segment.request import SearchRequest, SearchTally
from tiervdb.segment.segment import Segment
from tiervdb.segment.strategy import BySketch
from tiervdb.segment.union import SketchUnion, shared_plan
from tiervdb.types import Distances, Mask, Rows, Vectors

Task = tuple[int, Source, Mask | None]  # number of the source, the source, its live rows
Chosen = tuple[int, Segment, Mask | None]
Ids = tuple[str, ...]  # of segments
Found = tuple[Rows, Rows, Distances]  # numbers of sources, rows, distances

KEPT = 32  # unions in memory: a row is in one of them, or in an outdated one beside it
SEEN_BEFORE = 3  # searches of the same segments before their union is made: during a load they change all the time
SETTLED = 64  # and before that of one with small segments too
_PLANS = 256
_BATCH = 8  # queries from which several threads are worth it


@dataclass(frozen=True)
class Together:
    """What the union of some sources answered."""

    numbers: frozenset[int]
    found: Found


class Unions:
    """Makes unions and keeps ``kept`` of them, the least recently used go. Thread-safe."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._plans: dict[tuple[Ids, int, tuple[int, ...], SearchRequest], BySketch | None] = {}
        self._lock = threading.Lock()
        self._unions: OrderedDict[Ids, SketchUnion] = OrderedDict()
        self._seen: OrderedDict[Ids, int] = OrderedDict()

    def search(
        self, tasks: Sequence[Task], queries: Vectors, k: int, request: SearchRequest, tally: SearchTally
    ) -> Together | None:
        """Searches the hot segments with sketches under the most common codebook as one; None where that is no gain.

        Those too small for a sketch join once a state has been searched often: flushes bring new ones all the time.
        """
        if request.exact or request.ef is not None:
            return None
        sketched, small = _groups(tasks)
        if sketched and small:
            every = sorted([*sketched, *small], key=lambda task: task[0])
            found = self._as_one(every, SETTLED, queries, k, request, tally)
            if found is not None:
                return found
        return self._as_one(sketched, SEEN_BEFORE, queries, k, request, tally) if len(sketched) > 1 else None

    def _as_one(
        self,
        chosen: Sequence[Chosen],
        seen_before: int,
        queries: Vectors,
        k: int,
        request: SearchRequest,
        tally: SearchTally,
    ) -> Together | None:
        segments = [segment for _, segment, _ in chosen]
        masks = [mask for _, _, mask in chosen]
        alive = [s.rows if m is None else int(np.count_nonzero(m)) for s, m in zip(segments, masks, strict=True)]
        ids = tuple(s.entry.id for s in segments)
        plan = self._plan(ids, segments, k, tuple(alive), request)
        if plan is None or sum(alive) < k:
            return None
        union = self._union(ids, segments, seen_before)
        if union is None:
            return None
        return _found(union, chosen, queries, k, plan, request, tally)

    def _plan(
        self, ids: Ids, segments: Sequence[Segment], k: int, alive: tuple[int, ...], request: SearchRequest
    ) -> BySketch | None:
        """How to scan these segments as one. Kept, since making it looks at all their measurements."""
        key = (ids, k, alive, request)
        if key not in self._plans:
            if len(self._plans) >= _PLANS:
                self._plans = {}
            self._plans[key] = shared_plan(segments, k, alive, request)
        return self._plans.get(key)

    def _union(self, key: Ids, segments: Sequence[Segment], seen_before: int) -> SketchUnion | None:
        with self._lock:
            if key in self._unions:
                self._unions.move_to_end(key)
                return self._unions[key]
            self._seen[key] = self._seen.pop(key, 0) + 1
            if len(self._seen) > 2 * self._kept:
                self._seen.popitem(last=False)
            if self._seen[key] < seen_before:
                return None
            union = self._unions[key] = SketchUnion(segments)
            while len(self._unions) > self._kept or self._outdated(key):
                gone, _ = self._unions.popitem(last=False)
                self._seen.pop(gone, None)
        for segment in segments:
            segment.release_lists()
        return union

    def _outdated(self, key: Ids) -> bool:
        """Whether the oldest union shares segments with the newest: it was of the same collection, before a merge."""
        oldest = next(iter(self._unions))
        return oldest != key and not set(oldest).isdisjoint(key)


def _groups(tasks: Sequence[Task]) -> tuple[list[Chosen], list[Chosen]]:
    """The hot segments with sketches under the most common codebook, and those without a sketch."""
    groups: dict[str, list[Chosen]] = {}
    small: list[Chosen] = []
    for number, source, mask in tasks:
        if isinstance(source, SegmentSource) and not source.segment.remote:
            codebook = source.segment.entry.codebook
            (small if codebook is None else groups.setdefault(codebook, [])).append((number, source.segment, mask))
    return max(groups.values(), key=len, default=[]), small


def _found(
    union: SketchUnion,
    chosen: Sequence[Chosen],
    queries: Vectors,
    k: int,
    plan: BySketch,
    request: SearchRequest,
    tally: SearchTally,
) -> Together | None:
    threads = 1 if len(queries) < _BATCH else request.threads or os.cpu_count() or 1
    segments = [segment for _, segment, _ in chosen]
    found = union.search(segments, [mask for _, _, mask in chosen], queries, k, plan, tally, threads)
    if found is None:
        return None
    places, rows, distances = found
    numbers = np.array([number for number, _, _ in chosen], np.int64)
    return Together(frozenset(numbers.tolist()), (numbers[places], rows, distances))
