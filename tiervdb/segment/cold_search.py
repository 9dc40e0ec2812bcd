"""Searches cold segments together: one wave of reads for the lists that are not here, one for the vectors to compare.

The heads of sketches that nobody has searched yet, and have no local copy, take a wave before these.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tiervdb.errors import ObjectNotFoundError
from tiervdb.segment.distance import ordered, pair_distances
from tiervdb.segment.probing import LiveLists, probe
from tiervdb.segment.remote import lost_object
from tiervdb.segment.request import SearchRequest, SearchTally
from tiervdb.segment.sketch import ListNumbers, Lists, prepared
from tiervdb.segment.strategy import BySketch, Exact, Strategy
from tiervdb.storage.cache import uncached
from tiervdb.storage.wave import Read, Wave, read_wave
from tiervdb.types import Column, Distances, Mask, Rows, Vectors

if TYPE_CHECKING:
    from tiervdb.segment.segment import Segment

_ALONE = 8  # queries from which several threads are worth it

Found = tuple[Rows, Rows, Distances]  # place among the segments, row, distance: ``(queries, k)``


@dataclass(frozen=True)
class Candidates:
    """Rows of all segments, numbered through: row r of segment s is ``firsts[s] + r``. -1 is none.

    ``near``: approximate distances, -inf for rows that are compared in any case. Both ``(queries, any)``.
    """

    numbers: Rows
    near: Distances


@dataclass(frozen=True)
class Target:
    """A segment and its live rows (None: all), how it is searched, and where its rows begin in the numbering."""

    segment: Segment
    live: Mask | None
    alive: int
    first: int
    plan: Strategy


def search(
    segments: Sequence[Segment],
    masks: Sequence[Mask | None],
    queries: Vectors,
    k: int,
    request: SearchRequest,
    tally: SearchTally,
    columns: Sequence[Column] = (),
) -> Found | None:
    """The nearest live rows of all these segments. None where the lists hold too few, which takes an exact search.

    ``columns``: stored ones that the caller will read of the rows that are found; they come with the vectors where they
    are small, else in one more wave. Raises StoreUnavailableError and CorruptionError.
    """
    _bring_heads(segments, tally)
    targets = _targets(segments, masks, k, request)
    k = min(k, sum(t.alive for t in targets))
    if not k or not len(queries):
        none = np.empty((len(queries), k), np.int64)
        return none, none, none.astype(np.float32)
    budget = max([k, *(t.plan.rerank for t in targets if isinstance(t.plan, BySketch))])
    with tally.timed("scan"):
        scanned = _scan(targets, prepared(segments[0].metric, queries), k, budget, tally, request)
        candidates = _nearest(scanned, budget)
    firsts = np.cumsum([0, *(s.rows for s in segments)])
    if (candidates.numbers >= 0).sum(axis=1).min() < k:
        return None
    if request.rerank == 0:
        return _split(*_approximate(candidates, segments[0].metric, k), firsts)
    return _split(*_compare(segments, firsts, candidates, queries, k, tally, columns), firsts)


def warm(segments: Sequence[Segment]) -> None:
    """Copies the sketches of cold segments to local disk, as far as the budget allows, and loads all their lists."""
    tally = SearchTally()
    for segment in segments:
        sketch, means = segment.cold_sketch, segment.means
        if not means.copies.has(segment.entry.id) and means.copies.download(
            segment.entry.id, sketch.reference, uncached(means.store)
        ):
            sketch.look_again()
    _bring_heads(segments, tally)
    for segment in segments:
        sketch = segment.cold_sketch
        lists = sketch.lists()
        absent, read = sketch.missing_lists(lists, np.flatnonzero(lists.sizes))
        if read is not None:
            sketch.take_lists(lists, absent, _wave(segment, [read], tally, "fetch lists").pieces[0])


def _bring_heads(segments: Sequence[Segment], tally: SearchTally) -> None:
    missing = [(s, read) for s in segments if (read := s.cold_sketch.missing_head()) is not None]
    if missing:
        wave = _wave(segments[0], [read for _, read in missing], tally, "fetch sketches")
        for (segment, _), pieces in zip(missing, wave.pieces, strict=True):
            segment.cold_sketch.take_head(pieces[0])


def _targets(segments: Sequence[Segment], masks: Sequence[Mask | None], k: int, request: SearchRequest) -> list[Target]:
    targets, first = [], 0
    for segment, mask in zip(segments, masks, strict=True):
        alive = segment.rows if mask is None else int(np.count_nonzero(mask))
        if alive:
            plan = segment.strategy(min(k, alive), alive, request)
            targets.append(Target(segment, None if alive == segment.rows else mask, alive, first, plan))
        first += segment.rows
    return targets


# -- candidates by codes


@dataclass(frozen=True)
class _Probe:
    """What is scanned of one segment. ``lists``: loaded as far as ``probed`` needs, before the scan."""

    target: Target
    lists: Lists
    probed: ListNumbers
    coarse: Distances
    bits: np.ndarray | None


def _scan(
    targets: Sequence[Target], ready: Vectors, k: int, budget: int, tally: SearchTally, request: SearchRequest
) -> list[Candidates]:
    probes = [_probe(t, t.plan, ready, k, request.filtered) for t in targets if isinstance(t.plan, BySketch)]
    _bring_lists(probes, tally)
    threads = 1 if len(ready) < _ALONE else request.threads or os.cpu_count() or 1
    found = [_few(t, t.plan, len(ready), tally) for t in targets if not isinstance(t.plan, BySketch)]
    for one in probes:
        count = min(budget, one.target.alive)
        rows, near = one.lists.scan(ready, one.probed, one.coarse, count, one.bits, threads)
        missing = rows < 0
        numbers = np.where(missing, -1, rows + one.target.first)
        found.append(Candidates(numbers, np.where(missing, np.float32(np.inf), near)))
        tally.scanned(*_what(one, budget))
    return found


def _probe(target: Target, plan: BySketch, ready: Vectors, k: int, spread: bool) -> _Probe:
    """The lists to scan: as many as planned, and more where a query's hold too few live rows."""
    segment = target.segment
    lists = segment.cold_sketch.lists()
    live = LiveLists(None, lists.sizes, lists.filled) if target.live is None else segment.live_lists(target.live)
    nprobe = plan.nprobe or len(lists.sizes)
    if int(lists.sizes[live.usable].sum()) * lists.code_size <= plan.free_bytes and _are_here(target, live.usable):
        nprobe = len(lists.sizes)
    probed, coarse = probe(lists, ready, nprobe, live, min(k, target.alive), spread)
    return _Probe(target, lists, probed, coarse, live.bits)


def _are_here(target: Target, usable: Mask) -> bool:
    sketch = target.segment.cold_sketch
    return sketch.local or bool(sketch.lists().there[usable].all())


def _bring_lists(probes: Sequence[_Probe], tally: SearchTally) -> None:
    wanted: list[tuple[_Probe, ListNumbers, Read]] = []
    for one in probes:
        absent, read = one.target.segment.cold_sketch.missing_lists(one.lists, np.unique(one.probed))
        if read is not None:
            wanted.append((one, absent, read))
    if wanted:
        wave = _wave(wanted[0][0].target.segment, [read for *_, read in wanted], tally, "fetch lists")
        for (one, absent, _), pieces in zip(wanted, wave.pieces, strict=True):
            one.target.segment.cold_sketch.take_lists(one.lists, absent, pieces)


def _few(target: Target, plan: Strategy, queries: int, tally: SearchTally) -> Candidates:
    """All live rows: they are no more than would be compared anyway."""
    rows = np.arange(target.segment.rows, dtype=np.int64) if target.live is None else np.flatnonzero(target.live)
    why = plan.why if isinstance(plan, Exact) else "no graph in the cold tier"
    tally.scanned(len(rows) * queries, f"{target.segment.title}: exact over {len(rows)} rows, {why}")
    numbers = np.broadcast_to(rows + target.first, (queries, len(rows)))
    return Candidates(numbers, np.full(numbers.shape, -np.inf, np.float32))


def _what(probe: _Probe, budget: int) -> tuple[int, str]:
    nprobe = probe.probed.shape[1]
    rows = int(probe.lists.sizes[probe.probed].sum())
    return rows, f"{probe.target.segment.title}: sketch, nprobe={nprobe} of {len(probe.lists.sizes)}, rerank={budget}"


def _nearest(found: Sequence[Candidates], budget: int) -> Candidates:
    """The best of each query over all segments, and all that are compared in any case."""
    numbers = np.concatenate([c.numbers for c in found], axis=1)
    near = np.concatenate([c.near for c in found], axis=1)
    sure = sum(c.numbers.shape[1] for c in found if c.near.size and np.isneginf(c.near[0, 0]))
    kept = budget + sure
    if numbers.shape[1] <= kept:
        return Candidates(numbers, near)
    best = np.argpartition(near, kept - 1, axis=1)[:, :kept]
    return Candidates(np.take_along_axis(numbers, best, 1), np.take_along_axis(near, best, 1))


def _approximate(candidates: Candidates, metric: str, k: int) -> tuple[Rows, Distances]:
    near = candidates.near + np.float32(1.0) if metric == "cosine" else candidates.near
    order = np.lexsort((candidates.numbers, near), axis=1)[:, :k]
    return np.take_along_axis(candidates.numbers, order, 1), np.take_along_axis(near, order, 1)


# -- true distances


def _compare(
    segments: Sequence[Segment],
    firsts: Rows,
    candidates: Candidates,
    queries: Vectors,
    k: int,
    tally: SearchTally,
    columns: Sequence[Column],
) -> tuple[Rows, Distances]:
    wanted = np.unique(candidates.numbers)
    wanted = wanted[wanted >= 0]
    vectors = _bring_vectors(segments, firsts, wanted, tally, columns)
    numbers = np.empty((len(queries), k), np.int64)
    distances = np.empty((len(queries), k), np.float32)
    with tally.timed("compare"):
        for at, line in enumerate(candidates.numbers):
            usable = line[line >= 0]
            exact = pair_distances(segments[0].metric, queries[at], vectors[np.searchsorted(wanted, usable)])
            distances[at], numbers[at] = ordered(exact, usable, k)
    if columns:
        _prefetch(segments, firsts, np.unique(numbers), columns, tally)
    return numbers, distances


def _bring_vectors(
    segments: Sequence[Segment], firsts: Rows, wanted: Rows, tally: SearchTally, columns: Sequence[Column]
) -> Vectors:
    """The vectors of all these rows, in their order, in one wave; with it what the stored columns need, if small."""
    parts = _by_segment(segments, firsts, wanted)
    reads = [s.cold_rows.pages(rows) for s, rows in parts]
    beside = [read for s, rows in parts if columns for read in s.cold_rows.column_reads(rows, columns, small=True)]
    wave = _wave(segments[0], [*reads, *beside], tally, "fetch vectors")
    with tally.timed("compare"):
        found = [s.cold_rows.from_pages(rows, read, pieces)
                 for (s, rows), read, pieces in zip(parts, reads, wave.pieces[: len(reads)], strict=True)]  # fmt: skip
    return found[0] if len(found) == 1 else np.concatenate(found)


def _prefetch(
    segments: Sequence[Segment], firsts: Rows, numbers: Rows, columns: Sequence[Column], tally: SearchTally
) -> None:
    """Puts the columns of the rows that were found into the cache, those of all segments in one wave."""
    parts = _by_segment(segments, firsts, numbers)
    reads = [read for s, rows in parts for read in s.cold_rows.column_reads(rows, columns, small=False)]
    if reads:
        _wave(segments[0], reads, tally, "fetch columns")


def _by_segment(segments: Sequence[Segment], firsts: Rows, numbers: Rows) -> list[tuple[Segment, Rows]]:
    """Rising numbers as the rows of each segment that has some."""
    bounds = np.searchsorted(numbers, firsts)
    return [
        (segment, numbers[bounds[n] : bounds[n + 1]] - firsts[n])
        for n, segment in enumerate(segments)
        if bounds[n] < bounds[n + 1]
    ]


def _split(numbers: Rows, distances: Distances, firsts: Rows) -> Found:
    places = np.searchsorted(firsts, numbers, side="right") - 1
    missing = numbers < 0
    return np.where(missing, -1, places), np.where(missing, -1, numbers - firsts[places]), distances


def _wave(segment: Segment, reads: Sequence[Read], tally: SearchTally, stage: str) -> Wave:
    means = segment.means
    try:
        with tally.timed(stage):
            wave = read_wave(means.store, reads, means.pool)
    except ObjectNotFoundError as error:
        raise lost_object(means.store, error) from error
    cost = wave.cost
    tally.fetched(cost.gets, cost.bytes_read, cost.waves, cost.cache_hits)
    return wave
