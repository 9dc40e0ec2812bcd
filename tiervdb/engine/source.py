"""Where the rows of a view come from: segments and memtables, alike."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from tiervdb.engine.columns import complete
from tiervdb.engine.deaths import DeathLog, mark
from tiervdb.engine.memtable import MISSING, MemView
from tiervdb.format.manifest import SegmentEntry
from tiervdb.segment import distance
from tiervdb.segment.segment import Candidates, SearchRequest, SearchTally, Segment
from tiervdb.types import CollectionSchema, IdArray, Mask, Rows, Vectors


class Source(Protocol):
    """Rows of one collection as of one seq: a segment under its deaths, or a part of a memtable. Immutable."""

    @property
    def rows(self) -> int: ...

    @property
    def key(self) -> Hashable | None:
        """What stays the same as long as the rows do; None where that is not known."""
        ...

    def live(self) -> Mask | None:
        """One flag a row, None: all are alive."""
        ...

    def lookup(self, ids: pa.Array) -> Rows:
        """The live row of each id, or -1."""
        ...

    def written_since(self, seq: int) -> Rows:
        """Rows that appeared or died after ``seq``, as far as no manifest holds that yet."""
        ...

    def ids(self, rows: Rows | None = None) -> pa.Array: ...
    def id_values(self, rows: Rows) -> IdArray: ...
    def vectors(self, rows: Rows) -> Vectors: ...
    def columns(self, column_ids: Sequence[int], rows: Rows | None = None) -> dict[int, pa.Array]: ...
    def filter_table(self, schema: CollectionSchema, start: int = 0) -> pa.Table: ...
    def search(
        self, queries: Vectors, k: int, live: Mask | None, request: SearchRequest, tally: SearchTally
    ) -> Candidates: ...


Deaths = tuple[tuple[DeathLog, int], ...]  # logs, and how many of their first entries count


class SegmentState:
    """An open segment, what its manifest counts as dead, and what is dead by now.

    ``dead_now`` changes under the commit lock and is for writers; views compute their own from the logs of deaths.
    """

    def __init__(self, segment: Segment, entry: SegmentEntry, dead: Mask | None) -> None:
        self.segment = segment
        self.entry = entry
        self.dead = dead
        self.dead_now = np.zeros(segment.rows, np.bool_) if dead is None else dead.copy()
        self._cached: tuple[Deaths, Mask | None] = ((), None if dead is None else _sealed(~dead))

    @property
    def id(self) -> str:
        return self.entry.id

    def live_after(self, deaths: Deaths) -> Mask | None:
        """The live rows when the first deaths of these logs are counted too; None: all. The latest answer is kept."""
        known, live = self._cached
        if known != deaths:
            dead = mark(self.dead, self.segment.rows, *(log.rows(count) for log, count in deaths))
            live = None if dead is None else _sealed(~dead)
            self._cached = (deaths, live)
        return live


def _sealed(mask: Mask) -> Mask:
    mask.flags.writeable = False
    return mask


class SegmentSource:
    """A segment as of one seq."""

    def __init__(self, state: SegmentState, logs: Sequence[DeathLog], seq: int) -> None:
        self.segment = state.segment
        self.rows: int = state.segment.rows
        self._state = state
        self._deaths: Deaths = tuple((log, n) for log in logs if (n := log.count_until(seq)))
        self._live: Mask | None = None
        self._live_known = False

    @property
    def key(self) -> Hashable | None:
        return self.segment.entry.id

    def live(self) -> Mask | None:
        if not self._live_known:
            self._live = self._state.live_after(self._deaths)
            self._live_known = True
        return self._live

    def lookup(self, ids: pa.Array) -> Rows:
        rows = self.segment.lookup(ids)
        live = self.live()
        return rows if live is None else np.where((rows >= 0) & live[rows], rows, MISSING)

    def written_since(self, seq: int) -> Rows:
        parts = [log.rows(count)[log.count_until(seq) :] for log, count in self._deaths]
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def ids(self, rows: Rows | None = None) -> pa.Array:
        return self.segment.ids() if rows is None else self.segment.ids(rows)

    def id_values(self, rows: Rows) -> IdArray:
        return self.segment.id_values(rows)

    def vectors(self, rows: Rows) -> Vectors:
        return self.segment.vectors(rows)

    def columns(self, column_ids: Sequence[int], rows: Rows | None = None) -> dict[int, pa.Array]:
        return self.segment.columns(column_ids, rows)

    def filter_table(self, schema: CollectionSchema, start: int = 0) -> pa.Table:
        return self.segment.filter_table(schema).slice(start)

    def search(
        self, queries: Vectors, k: int, live: Mask | None, request: SearchRequest, tally: SearchTally
    ) -> Candidates:
        return self.segment.search(queries, k, live, request, tally)


@dataclass(frozen=True)
class MemSource:
    """A memtable's rows of one collection as of one seq."""

    table: MemView
    schema: CollectionSchema

    @property
    def rows(self) -> int:
        return self.table.rows

    @property
    def key(self) -> Hashable | None:
        return self.table.key

    def live(self) -> Mask | None:
        return self.table.live()

    def lookup(self, ids: pa.Array) -> Rows:
        return self.table.lookup(ids.to_pylist())

    def written_since(self, seq: int) -> Rows:
        return self.table.written_since(seq)

    def ids(self, rows: Rows | None = None) -> pa.Array:
        return self.table.ids(rows)

    def id_values(self, rows: Rows) -> IdArray:
        return self.table.id_values(rows)

    def vectors(self, rows: Rows) -> Vectors:
        return self.table.vectors(rows)

    def columns(self, column_ids: Sequence[int], rows: Rows | None = None) -> dict[int, pa.Array]:
        return self.table.columns(list(column_ids), rows)

    def filter_table(self, schema: CollectionSchema, start: int = 0) -> pa.Table:
        columns = schema.filter_columns
        arrays = self.table.columns_from(start, [c.id for c in columns])
        named = {c.name: complete(arrays, c, self.rows - start) for c in columns}
        return pa.table({"id": self.table.ids_from(start), **named})

    def search(
        self, queries: Vectors, k: int, live: Mask | None, request: SearchRequest, tally: SearchTally
    ) -> Candidates:
        """Exact, whatever is requested: a memtable has no index."""
        del request
        rows = np.flatnonzero(self.table.live() if live is None else live)
        vectors = self.table.vectors() if len(rows) == self.rows else self.table.vectors(rows)
        distances, nearest = distance.nearest(self.schema.metric, queries, vectors, k)
        tally.scanned(len(rows) * len(queries))
        return Candidates(rows[nearest], distances)
