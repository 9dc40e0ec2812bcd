"""The immutable state of a shard at one seq, and the questions it answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import msgspec
import numpy as np
import pyarrow as pa

from tiervdb.engine import columns as arrow
from tiervdb.engine.catalog import CatalogState
from tiervdb.engine.memtable import MemView
from tiervdb.engine.search import SearchOutcome, search
from tiervdb.engine.source import MemSource, SegmentSource, Source
from tiervdb.engine.tier_access import AccessCounts
from tiervdb.engine.unions import Unions
from tiervdb.format.columns import arrow_type, id_arrow_type
from tiervdb.segment.filter import Filter, FilterEngine
from tiervdb.segment.segment import SearchRequest, SearchTally
from tiervdb.types import CollectionSchema, Column, Mask, Rows, Vectors

SCAN_ROWS = 16_384


@dataclass(frozen=True)
class Tools:
    """What views share: the evaluator of filters and the threads that search segments side by side."""

    filters: FilterEngine
    pool: ThreadPoolExecutor
    unions: Unions
    accesses: AccessCounts | None = None  # None: nobody wants to know


class Place(msgspec.Struct, frozen=True):
    """Where rows are: the number of the source and the row in it."""

    sources: Rows
    rows: Rows


class View:
    """One consistent state. Immutable and thread-safe; as long as it lives, the files it reads stay."""

    def __init__(
        self,
        seq: int,
        time_us: int,
        catalog: CatalogState,
        live: Mapping[int, int],
        segments: Mapping[int, Sequence[SegmentSource]],
        tables: Mapping[int, Sequence[MemView]],
        tools: Tools,
    ) -> None:
        self.seq = seq
        self.time_us = time_us
        self.catalog = catalog
        self._live = live
        self._segments = segments
        self._tables = tables
        self._tools = tools
        self._sources: dict[int, list[Source]] = {}
        self._census: dict[int, dict[str, tuple[int, int]]] = {}

    def collections(self) -> list[str]:
        """The names of all collections, sorted."""
        return sorted(c.name for c in self.catalog.collections.values())

    def schema(self, name: str) -> CollectionSchema:
        """The collection's schema at this seq; CollectionNotFoundError."""
        return self.catalog.named(name)

    def sources(self, schema: CollectionSchema) -> list[Source]:
        """The collection's segments, oldest first, then its memtables."""
        known = self._sources.get(schema.id)
        if known is None:
            tables = [MemSource(t, self.catalog.numbered(schema.id)) for t in self._tables.get(schema.id, ()) if t.rows]
            known = [*self._segments.get(schema.id, ()), *tables]
            self._sources[schema.id] = known
        return known

    def census(self, schema: CollectionSchema) -> Mapping[str, tuple[int, int]]:
        """By tier (memory, hot, cold) the number of parts and of rows in them, dead ones too; only tiers with rows."""
        known = self._census.get(schema.id)
        if known is None:
            known = {}
            found = [
                (s.segment.entry.tier if isinstance(s, SegmentSource) else "memory", s.rows)
                for s in self.sources(schema)
            ]
            for tier in ("memory", "hot", "cold"):
                rows = [count for where, count in found if where == tier and count]
                if rows:
                    known[tier] = len(rows), sum(rows)
            self._census[schema.id] = known
        return known

    def count(self, schema: CollectionSchema, where: Filter | None = None) -> int:
        """How many rows there are, or match."""
        if where is None:
            return self._live.get(schema.id, 0)
        return sum(int(np.count_nonzero(mask)) for mask in self.matches(schema, where))

    def matches(self, schema: CollectionSchema, where: Filter) -> list[Mask]:
        """One mask a source: alive and matching."""
        sources = self.sources(schema)
        masks = self._tools.filters.masks(where, [_Filterable(s, schema) for s in sources])
        return [m if (live := s.live()) is None else m & live for s, m in zip(sources, masks, strict=True)]

    def live_masks(self, schema: CollectionSchema, where: Filter | None) -> list[Mask | None]:
        """One mask a source; None: every row."""
        return [s.live() for s in self.sources(schema)] if where is None else list(self.matches(schema, where))

    def locate(self, schema: CollectionSchema, ids: pa.Array) -> Place:
        """Where each id's row is; source -1 where there is none."""
        sources = np.full(len(ids), -1, np.int64)
        rows = np.full(len(ids), -1, np.int64)
        missing = np.arange(len(ids))
        for number, source in reversed(list(enumerate(self.sources(schema)))):
            if not len(missing):
                break
            found = source.lookup(ids.take(pa.array(missing)) if len(missing) < len(ids) else ids)
            hit = found >= 0
            sources[missing[hit]] = number
            rows[missing[hit]] = found[hit]
            missing = missing[~hit]
        return Place(sources, rows)

    def get(self, schema: CollectionSchema, ids: pa.Array, columns: Sequence[Column], vectors: bool) -> pa.Table:
        """The rows of the ids that exist, in the order asked."""
        place = self.locate(schema, ids)
        found = np.flatnonzero(place.sources >= 0)
        there = Place(place.sources[found], place.rows[found])
        return self.fetch(schema, there, columns, vectors, ids=ids.take(pa.array(found)))

    def fetch(
        self,
        schema: CollectionSchema,
        place: Place,
        columns: Sequence[Column],
        vectors: bool,
        ids: pa.Array | None = None,
    ) -> pa.Table:
        """The rows at these places, in this order: id, the columns, and the vector if wanted."""
        sources = self.sources(schema)
        parts = [
            (sources[n], at := np.flatnonzero(place.sources == n), place.rows[at]) for n in np.unique(place.sources)
        ]
        count = len(place.rows)
        named: dict[str, pa.Array] = {}
        named["id"] = (
            ids
            if ids is not None
            else arrow.gather([(at, s.ids(r)) for s, at, r in parts], count, id_arrow_type(schema.id_type))
        )
        fetched = [(at, s.columns([c.id for c in columns], r) if columns else {}) for s, at, r in parts]
        for column in columns:
            arrays = [(at, arrow.complete(found, column, len(at))) for at, found in fetched]
            named[column.name] = arrow.gather(arrays, count, arrow_type(column.type))
        if vectors:
            named["vector"] = arrow.vector_array(_gather_vectors(schema, parts, count), schema.dim)
        return pa.table(named)

    def vectors(self, schema: CollectionSchema, place: Place) -> Vectors:
        """The vectors at these places, bit for bit as they were given."""
        sources = self.sources(schema)
        parts = [
            (sources[n], at := np.flatnonzero(place.sources == n), place.rows[at]) for n in np.unique(place.sources)
        ]
        return _gather_vectors(schema, parts, len(place.rows))

    def scan(
        self, schema: CollectionSchema, where: Filter | None, columns: Sequence[Column], vectors: bool
    ) -> Iterator[pa.RecordBatch]:
        """All rows, or those that match, in batches of at most SCAN_ROWS."""
        for number, mask in enumerate(self.live_masks(schema, where)):
            source = self.sources(schema)[number]
            rows = np.arange(source.rows) if mask is None else np.flatnonzero(mask)
            for start in range(0, len(rows), SCAN_ROWS):
                part = rows[start : start + SCAN_ROWS]
                place = Place(np.full(len(part), number, np.int64), part)
                yield from self.fetch(schema, place, columns, vectors).combine_chunks().to_batches()

    def matching_ids(self, schema: CollectionSchema, where: Filter, only: pa.Array | None = None) -> pa.Array:
        """The ids of the rows that match, among ``only`` if given."""
        parts = [
            source.ids(np.flatnonzero(mask))
            for source, mask in zip(self.sources(schema), self.matches(schema, where), strict=True)
            if mask.any()
        ]
        ids = pa.concat_arrays(parts) if parts else pa.array([], id_arrow_type(schema.id_type))
        return ids if only is None else ids.filter(pa.compute.is_in(ids, only))

    def written_since(self, schema: CollectionSchema, seq: int) -> pa.Array:
        """The ids of rows that were written or deleted after ``seq``, which no flush has passed."""
        parts = [source.ids(rows) for source in self.sources(schema) if len(rows := source.written_since(seq))]
        return pa.concat_arrays(parts) if parts else pa.array([], id_arrow_type(schema.id_type))

    def search(
        self,
        schema: CollectionSchema,
        queries: Vectors,
        k: int,
        where: Filter | None = None,
        request: SearchRequest | None = None,
        on_unavailable: str = "raise",
        columns: Sequence[Column] = (),
        tally: SearchTally | None = None,
    ) -> SearchOutcome:
        """The k nearest live rows of each query, by exact distances unless the request has rerank=0.

        ``columns``: what will be fetched of them. ``tally``: where to count and time what is done.
        """
        tally = tally or SearchTally()
        with tally.timed("filter"):
            masks = self.live_masks(schema, where)
        found = search(
            self.sources(schema),
            masks,
            queries,
            k,
            request or SearchRequest(filtered=where is not None),
            on_unavailable == "skip",
            self._tools.pool,
            self._tools.unions,
            columns,
            tally,
        )
        if self._tools.accesses is not None:
            self._tools.accesses.note(self._searched(schema, found))
        return found

    def _searched(self, schema: CollectionSchema, found: SearchOutcome) -> Iterator[tuple[str, int]]:
        """The segments that hold rows of the answers, and of how many answers."""
        sources = self.sources(schema)
        for number in np.unique(found.sources).tolist():
            if number >= 0 and isinstance(source := sources[number], SegmentSource):
                yield source.segment.entry.id, int((found.sources == number).any(axis=1).sum())


@dataclass(frozen=True)
class _Filterable:
    """A source as the filter engine sees it."""

    source: Source
    schema: CollectionSchema

    @property
    def key(self) -> object:
        return self.source.key

    @property
    def rows(self) -> int:
        return self.source.rows

    def table(self, start: int = 0) -> pa.Table:
        return self.source.filter_table(self.schema, start)


def _gather_vectors(schema: CollectionSchema, parts: Sequence[tuple[Source, Rows, Rows]], count: int) -> Vectors:
    vectors = np.empty((count, schema.dim), np.float32)
    for source, at, rows in parts:
        vectors[at] = source.vectors(rows)
    return vectors
