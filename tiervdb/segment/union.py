"""Several hot segments coded under one codebook, scanned as one.

A list of the union is the lists of its segments one behind the other, so a search chooses lists once and scans once,
however many segments there are. Small segments, which have no sketch, are coded when the union is made.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tiervdb.segment.calibration import SketchRung, scaled_for_k
from tiervdb.segment.distance import pair_distances
from tiervdb.segment.request import SearchRequest, SearchTally
from tiervdb.segment.segment import Segment
from tiervdb.segment.sketch import Coder, Lists, falls_short, pack_mask, prepared
from tiervdb.segment.strategy import BySketch
from tiervdb.types import Distances, Mask, Rows, Vectors

UnionFound = tuple[Rows, Rows, Distances]  # place in the union's segments, row, distance: ``(queries, k)``


def shared_plan(segments: Sequence[Segment], k: int, alive: Sequence[int], request: SearchRequest) -> BySketch | None:
    """How to scan these segments as one: with the cheapest parameters that reach the recall over all of them.

    None where one with a sketch would be searched otherwise, or not all lists are from one codebook.
    """
    if request.filtered or request.rerank == 0 or len({s.entry.codebook for s in segments} - {None}) != 1:
        return None
    pairs = [(s, n) for s, n in zip(segments, alive, strict=True) if s.entry.codebook is not None]
    segments = [s for s, _ in pairs]
    plans = [s.strategy(min(k, n), n, request) for s, n in pairs if n]
    scans = [plan for plan in plans if isinstance(plan, BySketch) and plan.nprobe is not None]
    if not scans or len(scans) < len(plans) or any(s.remote for s in segments):
        return None
    measured = _measured_together(segments, request.recall)
    if measured is None or request.nprobe is not None or request.rerank is not None:
        return BySketch(max(s.nprobe or 0 for s in scans), max(s.rerank for s in scans))
    codebook = segments[0].codebook
    nprobe, rerank = scaled_for_k(measured, k, codebook.nlist if codebook is not None else measured.nprobe)
    return BySketch(nprobe, max(rerank, k))


def _measured_together(segments: Sequence[Segment], recall: float) -> SketchRung | None:
    """The cheapest parameters that all were measured with and that reach the recall on average over all rows."""
    tables = [{(r.nprobe, r.rerank): r for r in c.rungs} for s in segments if (c := s.calibration()) is not None]
    weights = np.array([s.rows for s in segments]) / sum(s.rows for s in segments)
    enough = []
    for nprobe, rerank in set.intersection(*(set(table) for table in tables)):
        rungs = [table[nprobe, rerank] for table in tables]
        reached = float(np.dot(weights, [r.recall for r in rungs]))
        if reached >= recall:
            cost = float(np.dot(weights, [r.microseconds for r in rungs]))
            enough.append(SketchRung(nprobe, rerank, reached, cost))
    return min(enough, key=lambda r: (r.microseconds, r.nprobe, r.rerank), default=None)


class SketchUnion:
    """The lists of several segments in memory. Immutable and safe for threads. It keeps no segment open."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        codebook = next((s.codebook for s in segments if s.entry.codebook is not None), None)
        if codebook is None:
            raise ValueError("a union needs a segment with a sketch")
        coder = Coder(codebook)
        every = np.arange(max(s.rows for s in segments), dtype=np.int64)
        coded = [s.coded() or coder.encode(s.vectors(every[: s.rows])) for s in segments]
        lists = np.concatenate([numbers for numbers, _ in coded])
        order = np.argsort(lists, kind="stable").astype(np.int64)
        offsets = np.concatenate([[0], np.cumsum(np.bincount(lists, minlength=codebook.nlist))]).astype(np.int64)
        self._lists = Lists(codebook, np.concatenate([codes for _, codes in coded])[order], offsets, order)
        self._firsts = np.cumsum([0, *(s.rows for s in segments)])

    def search(
        self,
        segments: Sequence[Segment],
        masks: Sequence[Mask | None],
        queries: Vectors,
        k: int,
        plan: BySketch,
        tally: SearchTally,
        threads: int,
    ) -> UnionFound | None:
        """The nearest live rows of each query. None where the lists hold too few of them.

        ``segments``: those that the union was made of. ``masks``: one flag a row, None: all.
        """
        lists = self._lists
        ready = prepared(lists.codebook.metric, queries)
        probed, coarse = lists.probes(ready, min(plan.nprobe or lists.codebook.nlist, lists.codebook.nlist))
        count = min(max(plan.rerank, k), lists.rows)
        found, _ = lists.scan(ready, probed, coarse, count, self._live_bits(segments, masks), threads)
        if falls_short(found, min(k, count)):
            return None
        tally.scanned(
            lists.rows * probed.shape[1] // len(lists.sizes) * len(queries),
            f"{len(segments)} hot segments as one ({lists.rows} rows): sketch, "
            f"nprobe={probed.shape[1]} rerank={plan.rerank}",
        )
        return self._compared(segments, queries, found, k, tally)

    def _live_bits(self, segments: Sequence[Segment], masks: Sequence[Mask | None]) -> np.ndarray | None:
        if all(mask is None for mask in masks):
            return None
        whole = [np.ones(s.rows, np.bool_) if m is None else m for s, m in zip(segments, masks, strict=True)]
        return pack_mask(np.concatenate(whole))

    def _compared(
        self, segments: Sequence[Segment], queries: Vectors, found: Rows, k: int, tally: SearchTally
    ) -> UnionFound:
        k = min(k, found.shape[1])
        places = np.empty((len(queries), k), np.int64)
        rows = np.empty((len(queries), k), np.int64)
        distances = np.empty((len(queries), k), np.float32)
        for at, line in enumerate(found):
            usable = np.sort(line[line >= 0])
            numbers = self._firsts.searchsorted(usable, "right") - 1
            own = usable - self._firsts[numbers]
            vectors = self._gather(segments, own, numbers, tally)
            exact = pair_distances(self._lists.codebook.metric, queries[at], vectors)
            best = exact.argsort(kind="stable")[:k]  # rows rise, so ties go to the smaller one
            distances[at], places[at], rows[at] = exact[best], numbers[best], own[best]
        return places, rows, distances

    @staticmethod
    def _gather(segments: Sequence[Segment], rows: Rows, numbers: Rows, tally: SearchTally) -> Vectors:
        """``numbers`` rise, so each segment's rows are one run."""
        bounds = numbers.searchsorted(np.arange(len(segments) + 1)).tolist()
        runs = zip(segments, bounds[:-1], bounds[1:], strict=True)
        parts = [segment.fetch(rows[start:end], tally) for segment, start, end in runs if start < end]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)
