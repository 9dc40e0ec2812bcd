"""Searches one segment by the strategy that was chosen for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from tiervdb.segment import cold_search
from tiervdb.segment.distance import nearest, ordered, pair_distances
from tiervdb.segment.probing import LiveLists, probe
from tiervdb.segment.request import Candidates, SearchRequest, SearchTally
from tiervdb.segment.sketch import Lists, falls_short, prepared
from tiervdb.segment.strategy import ByGraph, BySketch, Exact, Strategy
from tiervdb.types import Distances, Mask, Rows, Vectors

if TYPE_CHECKING:
    from tiervdb.segment.segment import Segment

_CHUNK_FLOATS = 8_000_000  # vectors compared at once in an exact scan
_ALONE = 8  # queries from which several threads are worth it
_GRAPH_SPARE = 6  # candidates whose true distance is computed beyond k: hnswlib's own are float32


def search(
    segment: Segment, queries: Vectors, k: int, live: Mask | None, request: SearchRequest, tally: SearchTally
) -> Candidates:
    """The nearest live rows of each query, ``(queries, min(k, live rows))``. See Segment.search."""
    alive = segment.rows if live is None else int(np.count_nonzero(live))
    k = min(k, alive)
    if k <= 0 or not len(queries):
        return _nothing(len(queries), max(k, 0))
    if alive == segment.rows:
        live = None
    if segment.remote:
        return _cold(segment, queries, k, live, request, tally)
    plan = segment.strategy(k, alive, request)
    if isinstance(plan, ByGraph):
        found = _by_graph(segment, queries, k, live, plan, request, tally)
        if found is not None:
            return found
        plan = segment.strategy(k, alive, _WITHOUT_GRAPH)
    if isinstance(plan, BySketch):
        return _by_sketch(segment, queries, k, live, alive, plan, request, tally)
    tally.scanned(alive * len(queries), f"{segment.title}: exact over {alive} rows, {_why(plan)}")
    return _exactly(segment, queries, k, live, tally)


_WITHOUT_GRAPH = SearchRequest(filtered=True)


def _cold(
    segment: Segment, queries: Vectors, k: int, live: Mask | None, request: SearchRequest, tally: SearchTally
) -> Candidates:
    if not request.exact:
        found = cold_search.search([segment], [live], queries, k, request, tally)
        if found is not None:
            return Candidates(found[1], found[2])
    alive = segment.rows if live is None else int(np.count_nonzero(live))
    tally.scanned(alive * len(queries), f"{segment.title}: exact over {alive} rows")
    return _exactly(segment, queries, k, live, tally)


def _why(plan: Strategy) -> str:
    return plan.why if isinstance(plan, Exact) else "the graph found too few"


def _nothing(queries: int, k: int) -> Candidates:
    return Candidates(np.full((queries, k), -1, np.int64), np.full((queries, k), np.inf, np.float32))


def _threads(request: SearchRequest, queries: int) -> int:
    if queries < _ALONE:
        return 1
    return request.threads or os.cpu_count() or 1


def _exactly(segment: Segment, queries: Vectors, k: int, live: Mask | None, tally: SearchTally) -> Candidates:
    best = _nothing(len(queries), 0)
    for rows, vectors, norms in _parts(segment, live, tally):
        distances, places = nearest(segment.metric, queries, vectors, k, norms)
        best = _joined(best, Candidates(rows[places], distances), k)
    return best


def _parts(
    segment: Segment, live: Mask | None, tally: SearchTally
) -> Iterator[tuple[Rows, Vectors, np.ndarray[tuple[int], np.dtype[np.float32]] | None]]:
    """The live rows in pieces: their numbers, vectors and, if known, norms."""
    step = max(1, _CHUNK_FLOATS // segment.dim)
    if live is None:
        for start in range(0, segment.rows, step):
            end = min(start + step, segment.rows)
            norms = segment.norms() if end - start == segment.rows else None
            yield np.arange(start, end, dtype=np.int64), segment.span(start, end, tally), norms
        return
    rows = np.flatnonzero(live)
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        yield part, segment.fetch(part, tally), None


def _joined(one: Candidates, other: Candidates, k: int) -> Candidates:
    if not one.rows.shape[1]:
        return other
    rows = np.concatenate([one.rows, other.rows], axis=1)
    distances = np.concatenate([one.distances, other.distances], axis=1)
    order = np.lexsort((rows, distances), axis=1)[:, :k]
    return Candidates(np.take_along_axis(rows, order, 1), np.take_along_axis(distances, order, 1))


def _by_graph(
    segment: Segment,
    queries: Vectors,
    k: int,
    live: Mask | None,
    plan: ByGraph,
    request: SearchRequest,
    tally: SearchTally,
) -> Candidates | None:
    """None where the graph leaves too few: it is walked without the mask, so what it finds may all be dead."""
    enough = k + _GRAPH_SPARE if live is None else None
    rows = segment.graph().search(queries, plan.ef, _threads(request, len(queries)), enough)
    if rows is None:
        return None
    out = _nothing(len(queries), k)
    for at, line in enumerate(rows):
        usable = line[line >= 0]
        if live is not None:
            usable = usable[live[usable]]
        if len(usable) < k or 2 * len(usable) < len(line):
            return None
        nearest_rows = usable[: k + _GRAPH_SPARE]
        out.distances[at], out.rows[at] = _nearest_of(segment, queries[at], nearest_rows, k, tally)
    tally.scanned(plan.ef * len(queries), f"{segment.title}: graph, ef={plan.ef}")
    return out


def _by_sketch(
    segment: Segment,
    queries: Vectors,
    k: int,
    live: Mask | None,
    alive: int,
    plan: BySketch,
    request: SearchRequest,
    tally: SearchTally,
) -> Candidates:
    lists = segment.lists()
    ready = prepared(segment.metric, queries)
    living = LiveLists(None, lists.sizes, lists.filled) if live is None else segment.live_lists(live)
    nprobe = _lists_to_probe(lists, living.usable, plan)
    count = min(max(plan.rerank, k), alive)
    threads = _threads(request, len(queries))
    probed, coarse = probe(lists, ready, nprobe, living, k, request.filtered)
    segment.load_lists(lists, probed)
    rows, approximate = lists.scan(ready, probed, coarse, count, living.bits, threads)
    if falls_short(rows, k):
        short = rows[:, k - 1] < 0
        every, coarse = lists.probes(ready[short], len(living.usable))
        segment.load_lists(lists, every)
        rows[short], approximate[short] = lists.scan(ready[short], every, coarse, count, living.bits, threads)
    tally.scanned(
        lists.rows * probed.shape[1] // len(lists.sizes) * len(queries),
        f"{segment.title}: sketch, nprobe={probed.shape[1]} rerank={plan.rerank}",
    )
    if plan.rerank == 0:
        return _approximate(lists, queries, rows, approximate, k)
    return _compared(segment, queries, rows, k, live, tally)


def _lists_to_probe(lists: Lists, usable: Mask, plan: BySketch) -> int:
    every = int(np.count_nonzero(usable))
    if plan.nprobe is None or plan.nprobe >= every:
        return every
    if plan.free_bytes and int(lists.sizes[usable].sum()) * lists.code_size <= plan.free_bytes:
        return every
    return plan.nprobe


def _approximate(lists: Lists, queries: Vectors, rows: Rows, distances: Distances, k: int) -> Candidates:
    if lists.codebook.metric == "cosine":
        distances = distances + np.float32(1.0)
    distances = np.where(rows >= 0, distances, np.float32(np.inf))
    return _joined(_nothing(len(queries), 0), _sorted(rows, distances, k), k)


def _sorted(rows: Rows, distances: Distances, k: int) -> Candidates:
    order = np.lexsort((rows, distances), axis=1)[:, :k]
    return Candidates(np.take_along_axis(rows, order, 1), np.take_along_axis(distances, order, 1))


def _compared(
    segment: Segment, queries: Vectors, rows: Rows, k: int, live: Mask | None, tally: SearchTally
) -> Candidates:
    """True distances of the candidates; a query that the lists left short is answered exactly."""
    if len(rows) == 1 and rows[0, -1] >= 0:  # the plain form is the faster one
        distances, best = _nearest_of(segment, queries[0], rows[0], k, tally)
        return Candidates(best[None], distances[None])
    out = Candidates(np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float32))
    for at, line in enumerate(rows):
        found = line if line[-1] >= 0 else line[line >= 0]  # places without a row come last
        if len(found) < k:
            exact = _exactly(segment, queries[at : at + 1], k, live, tally)
            out.rows[at], out.distances[at] = exact.rows[0], exact.distances[0]
            continue
        out.distances[at], out.rows[at] = _nearest_of(segment, queries[at], found, k, tally)
    return out


def _nearest_of(segment: Segment, query: Vectors, rows: Rows, k: int, tally: SearchTally) -> tuple[Distances, Rows]:
    return ordered(pair_distances(segment.metric, query, segment.fetch(rows, tally)), rows, k)
