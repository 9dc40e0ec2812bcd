"""A search call: its arguments checked, handed to the view, and the answer as Hits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, SupportsIndex

import numpy as np
import pyarrow as pa

from tiervdb.clock import Clock
from tiervdb.database.filters import Params, to_filter
from tiervdb.database.hits import Hits, SearchStats
from tiervdb.database.inputs.arrays import joined
from tiervdb.database.inputs.vectors import to_queries
from tiervdb.database.selection import ColumnNames, Selection, select
from tiervdb.engine.search import SearchOutcome
from tiervdb.engine.source import Source
from tiervdb.engine.view import Place, View
from tiervdb.errors import InvalidInputError
from tiervdb.format.columns import id_arrow_type
from tiervdb.segment.request import SearchRequest, SearchTally
from tiervdb.storage.tally import measured
from tiervdb.types import CollectionSchema

OnUnavailable = Literal["raise", "skip"]
MAX_NUMBER = 2**31 - 1


@dataclass(frozen=True)
class SearchOptions:
    """How to search; None: as calibration found best."""

    ef: int | None = None
    nprobe: int | None = None
    rerank: int | None = None
    exact: bool = False
    explain: bool = False
    on_unavailable: OnUnavailable = "raise"


def search(
    view: View,
    schema: CollectionSchema,
    x: Any,
    k: SupportsIndex,
    where: str | None,
    params: Params,
    columns: ColumnNames,
    options: SearchOptions,
    clock: Clock,
) -> Hits:
    """The k nearest rows of each query in one view. See Collection.search."""
    started = clock.monotonic()
    queries, single = to_queries(x, schema.dim, schema.metric)
    count = whole("k", k, least=1)
    condition = to_filter(where, params, schema)
    request = to_request(options, condition is not None)
    selection = select(columns, schema, "search: columns")
    tally = SearchTally(clock.monotonic)
    outcome = view.search(schema, queries, count, condition, request, options.on_unavailable, selection.columns, tally)
    found = outcome.sources >= 0
    place = Place(outcome.sources[found], outcome.rows[found])
    with tally.timed("columns"):
        ids, extra = _ids_and_columns(view, schema, place, selection, tally)
    stats = _stats(outcome, view.census(schema), clock.monotonic() - started)
    explanation = "\n".join(outcome.tally.strategies) if options.explain else ""
    return Hits(ids, outcome.distances[found], tuple(found.sum(axis=1).tolist()), single, extra, stats, explanation)


def to_request(options: SearchOptions, filtered: bool) -> SearchRequest:
    """What the engine is asked for. InvalidInputError for arguments that are out of range or exclude each other."""
    if options.on_unavailable not in {"raise", "skip"}:
        raise InvalidInputError(f'search: on_unavailable={options.on_unavailable!r} must be "raise" or "skip"')
    sketch = options.nprobe is not None or options.rerank is not None
    if options.ef is not None and sketch:
        raise InvalidInputError("search: ef is for the graph, nprobe and rerank for the sketch; give one of the two")
    if options.exact and (sketch or options.ef is not None):
        raise InvalidInputError("search: exact=True compares every row; leave out ef, nprobe and rerank")
    return SearchRequest(
        ef=None if options.ef is None else whole("ef", options.ef, least=1),
        nprobe=None if options.nprobe is None else whole("nprobe", options.nprobe, least=1),
        rerank=None if options.rerank is None else whole("rerank", options.rerank, least=0),
        exact=bool(options.exact),
        filtered=filtered,
    )


def whole(name: str, value: SupportsIndex, least: int) -> int:
    """A whole number in range."""
    if isinstance(value, bool | np.bool_) or not hasattr(value, "__index__"):
        raise InvalidInputError(f"search: {name}={value!r} is not a whole number")
    number = value.__index__()
    if not least <= number <= MAX_NUMBER:
        raise InvalidInputError(f"search: {name}={number} is out of range; give {least} to {MAX_NUMBER}")
    return number


def _ids_and_columns(
    view: View, schema: CollectionSchema, place: Place, selection: Selection, tally: SearchTally
) -> tuple[pa.Array, pa.Table | None]:
    if selection.columns or selection.vectors:
        with measured() as cost:
            table = view.fetch(schema, place, selection.columns, selection.vectors)
        tally.fetched(cost.gets, cost.bytes_read, cost.waves, cost.cache_hits)
        return joined(table.column("id")), table.drop_columns(["id"])
    first = int(place.sources[0]) if len(place.sources) else -1
    if first >= 0 and (place.sources == first).all():  # nearly always, and then much faster
        return view.sources(schema)[first].ids(place.rows), None
    if first < 0:
        return pa.array([], id_arrow_type(schema.id_type)), None
    return _ids(view.sources(schema), place), None


def _ids(sources: Sequence[Source], place: Place) -> pa.Array:
    """The ids at these places, in their order."""
    numbers = np.unique(place.sources)
    at = [np.flatnonzero(place.sources == n) for n in numbers]
    parts = [sources[n].ids(place.rows[a]) for n, a in zip(numbers, at, strict=True)]
    back = np.empty(len(place.rows), np.int64)
    back[np.concatenate(at)] = np.arange(len(back))
    return pa.concat_arrays(parts).take(pa.array(back))


def _stats(outcome: SearchOutcome, census: Mapping[str, tuple[int, int]], seconds: float) -> SearchStats:
    tally = outcome.tally
    return SearchStats(
        seconds=seconds,
        milliseconds={stage: 1e3 * taken for stage, taken in tally.stages.items()},
        segments={tier: parts for tier, (parts, _) in census.items()},
        rows={tier: rows for tier, (_, rows) in census.items()},
        rows_scanned=tally.rows_scanned,
        gets=tally.gets,
        bytes=tally.bytes,
        waves=tally.waves,
        cache_hits=tally.cache_hits,
        tiers=tuple(census),
        skipped=outcome.skipped,
    )
