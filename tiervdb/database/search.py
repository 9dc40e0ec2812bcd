"""A search call: its arguments checked, handed to the view, and the answer as Hits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, SupportsIndex

import msgspec
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
from tiervdb.segment.request import SearchRequest, SearchTally
from tiervdb.storage.tally import measured
from tiervdb.types import CollectionSchema, Distances, IdArray

OnUnavailable = Literal["raise", "skip"]
MAX_NUMBER = 2**31 - 1


class SearchOptions(msgspec.Struct, frozen=True):
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
    place, distances, counts = _found(outcome)
    with tally.timed("columns"):
        ids, extra = _ids_and_columns(view, schema, place, selection, tally)
    stats = _stats(outcome, view.census(schema), clock.monotonic() - started)
    explanation = "\n".join(outcome.tally.strategies) if options.explain else ""
    return Hits(ids, distances, counts, single, extra, stats, explanation)


def _found(outcome: SearchOutcome) -> tuple[Place, Distances, tuple[int, ...]]:
    """All hits one behind the other, without the places that hold none, and how many each query has."""
    queries, width = outcome.rows.shape
    if queries == 1 and width and outcome.rows[0, -1] >= 0:  # nearly always; places without a hit come last
        return Place(outcome.sources[0], outcome.rows[0]), outcome.distances[0], (width,)
    found = outcome.rows >= 0
    place = Place(outcome.sources[found], outcome.rows[found])
    return place, outcome.distances[found], tuple(found.sum(axis=1).tolist())


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
) -> tuple[IdArray, pa.Table | None]:
    if selection.columns or selection.vectors:
        with measured() as cost:
            table = view.fetch(schema, place, selection.columns, selection.vectors)
        tally.fetched(cost.gets, cost.bytes_read, cost.waves, cost.cache_hits)
        ids: IdArray = joined(table.column("id")).to_numpy(zero_copy_only=False)
        return ids, table.drop_columns(["id"])
    return _ids(view.sources(schema), schema, place), None


def _ids(sources: Sequence[Source], schema: CollectionSchema, place: Place) -> IdArray:
    """The ids at these places, in their order."""
    numbers: set[int] = set(place.sources.tolist())
    if len(numbers) == 1:  # nearly always, and then much faster
        return sources[numbers.pop()].id_values(place.rows)
    made: IdArray = np.empty(len(place.rows), np.int64 if schema.id_type == "int64" else np.object_)
    for number in numbers:
        at = place.sources == number
        made[at] = sources[number].id_values(place.rows[at])
    return made


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
