"""How one segment is searched: a pure choice from what was measured and what is asked."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from tiervdb.segment.calibration import GraphCalibration, SketchCalibration, SketchRung, scaled_for_k
from tiervdb.segment.request import SearchRequest
from tiervdb.types import Metric, Tier

EXACT_FLOATS = 500_000  # of matching vectors: gathering and comparing them is faster than scanning codes, in a large
EXACT_LEAST, EXACT_SHARE = 75_000, 0.04  # segment; in a small one up to this many, and this share of its floats
SCAN_BYTES = 8_000_000  # of codes, scanned in about a millisecond: then no list that holds a match is left out
MOSTLY_LIVE = 0.9  # from this share of live rows on, parameters measured on all rows hold
FETCH_MICROSECONDS = 500.0  # of processor time for a candidate that a cold segment must fetch: half a request
FILTERED_RERANK = 2  # matches lie farther away, where codes tell less


@dataclass(frozen=True, slots=True)
class Exact:
    """Compare every live row."""

    why: str


@dataclass(frozen=True, slots=True)
class BySketch:
    """Scan ``nprobe`` lists (None: every list with a live row), compare the best ``rerank``; 0: none.

    If the codes of all lists with a live row are at most ``free_bytes``, all are scanned nevertheless.
    """

    nprobe: int | None
    rerank: int
    free_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ByGraph:
    """Walk the graph with a candidate list of ``ef``."""

    ef: int


Strategy = Exact | BySketch | ByGraph


@dataclass(frozen=True, slots=True)
class Measured:
    """What is known of a segment. ``nlist``: 0 without a sketch."""

    metric: Metric
    tier: Tier
    rows: int
    dim: int
    nlist: int
    sketch: SketchCalibration | None
    graph: GraphCalibration | None


def choose(known: Measured, k: int, live: int, request: SearchRequest) -> Strategy:
    """The strategy for ``k`` neighbours among ``live`` rows. k is at most ``live``."""
    if known.metric == "ip":  # queries are often unlike the rows that the sketch was measured with
        request = msgspec.structs.replace(request, recall=1 - (1 - request.recall) / 2)
    if request.exact:
        return Exact("asked for")
    if request.ef is not None and known.graph is not None:
        return ByGraph(max(request.ef, k))
    if known.sketch is None:
        return Exact("no sketch")
    if request.nprobe is not None or request.rerank is not None:
        return _as_asked(known, known.sketch, k, live, request)
    if _few(known, known.sketch, k, live, request):
        return Exact("few rows match")
    if not request.filtered and known.graph is not None:
        by_graph = _cheaper_graph(known.sketch, known.graph, k, request.recall)
        if by_graph is not None:
            return by_graph
    return _by_sketch(known, known.sketch, k, live, request)


def _few(known: Measured, sketch: SketchCalibration, k: int, live: int, request: SearchRequest) -> bool:
    if known.tier == "hot":
        return live * known.dim <= min(EXACT_FLOATS, EXACT_LEAST + EXACT_SHARE * known.rows * known.dim)
    return live <= scaled_for_k(_rung(known, sketch, request.recall) or sketch.last(), k, known.nlist)[1]


def _rung(known: Measured, sketch: SketchCalibration, recall: float) -> SketchRung | None:
    if known.tier == "cold":
        return sketch.choose_remote(recall, FETCH_MICROSECONDS)
    return sketch.choose(recall)


def _cheaper_graph(sketch: SketchCalibration, graph: GraphCalibration, k: int, recall: float) -> ByGraph | None:
    by_graph, by_sketch = graph.choose(recall), sketch.choose(recall)
    if by_graph is None or (by_sketch is not None and by_sketch.microseconds <= by_graph.microseconds):
        return None
    return ByGraph(max(by_graph.ef, 2 * k))


def _by_sketch(known: Measured, sketch: SketchCalibration, k: int, live: int, request: SearchRequest) -> Strategy:
    rung = _rung(known, sketch, request.recall)
    if rung is None:
        if known.tier == "hot":
            return Exact(f"the sketch reaches recall {sketch.best_recall}")
        rung = sketch.last()
    if known.tier == "hot" and 0 < sketch.exact_microseconds * live / known.rows < rung.microseconds:
        return Exact("as fast as the sketch")
    nprobe, rerank = scaled_for_k(rung, k, known.nlist)
    if not request.filtered and live >= MOSTLY_LIVE * known.rows:
        return BySketch(nprobe, max(rerank, k))
    among = sketch.filtered_nprobe(live / known.rows)
    return BySketch(None if among is None else max(nprobe, among), max(rerank * FILTERED_RERANK, k), SCAN_BYTES)


def _as_asked(known: Measured, sketch: SketchCalibration, k: int, live: int, request: SearchRequest) -> BySketch:
    rung = _rung(known, sketch, request.recall) or sketch.last()
    nprobe, rerank = scaled_for_k(rung, k, known.nlist)
    if request.nprobe is not None:
        nprobe = min(request.nprobe, known.nlist)
    elif live < MOSTLY_LIVE * known.rows:
        nprobe = known.nlist
    if request.rerank is not None:
        rerank = 0 if request.rerank == 0 else max(request.rerank, k)
    return BySketch(max(1, nprobe), rerank)
