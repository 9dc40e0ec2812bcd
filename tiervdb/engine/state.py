"""The state of one shard in memory: a manifest's segments, the memtables on top, and how a commit changes them.

The same ``apply`` serves live commits, crash recovery, readers of other processes and point-in-time views.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tiervdb.engine.catalog import CatalogState
from tiervdb.engine.catalog import apply as apply_to_catalog
from tiervdb.engine.deaths import DeathLog
from tiervdb.engine.memtable import MISSING, Memtable, MemView
from tiervdb.engine.source import SegmentSource, SegmentState
from tiervdb.engine.view import Tools, View
from tiervdb.format.ids import Hashes, hash_ids
from tiervdb.format.manifest import Manifest
from tiervdb.format.operations import DeleteRows, DropCollection, Operation, UpsertRows
from tiervdb.format.wal_record import CollectionCounts
from tiervdb.types import CollectionSchema, Rows

Seqs = npt.NDArray[np.uint64]
Moved = Mapping[str, Sequence[str]]  # replaced segments, and those that hold their rows now
Late = Sequence[tuple[str, Rows, Seqs]]  # segment, rows that died, seqs of their deaths


class Tip(msgspec.Struct, frozen=True):
    """What a view needs to know of the commit that it ends with."""

    seq: int
    time_us: int
    catalog: CatalogState
    live: Mapping[int, int]  # rows by collection


class ShardState:
    """Guarded by its owner's commit lock, except for what views captured."""

    def __init__(self, manifest: Manifest, segments: Sequence[SegmentState], tools: Tools) -> None:
        self.manifest = manifest
        self.segments: dict[str, SegmentState] = {s.id: s for s in segments}
        self.active = Memtable()
        self.frozen: Memtable | None = None
        self._tools = tools
        catalog = CatalogState.of(manifest)
        live = dict.fromkeys(catalog.collections, 0)
        for state in segments:
            live[state.entry.collection] += state.entry.rows - state.entry.dead
        self.tip = Tip(manifest.flushed_seq, manifest.flushed_time_us, catalog, live)

    def memtables(self) -> list[Memtable]:
        """Oldest first."""
        return [self.active] if self.frozen is None else [self.frozen, self.active]

    def next_catalog(self, operations: Sequence[Operation]) -> CatalogState:
        """The catalog after these operations; raises, changing nothing, if one of them does not fit."""
        catalog = self.tip.catalog
        for operation in operations:
            catalog = apply_to_catalog(catalog, operation)
        return catalog

    def apply(self, operations: Sequence[Operation], seq: int, time_us: int) -> list[CollectionCounts]:
        """Applies one commit, whose operations fit (next_catalog), and returns what it did to each collection."""
        catalog, live = self.tip.catalog, dict(self.tip.live)
        done: dict[int, list[int]] = {}
        for operation in operations:
            catalog = apply_to_catalog(catalog, operation)
            match operation:
                case UpsertRows(collection, batch):
                    schema = catalog.numbered(collection)
                    ids = batch.ids.to_pylist()
                    replaced = self._kill(schema, batch.ids, ids, seq)
                    self.active.rows_of(schema).append(batch, ids, seq)
                    self.active.note_size(len(ids), schema.dim)
                    live[collection] = live.get(collection, 0) + len(ids) - replaced
                    done.setdefault(collection, [0, 0])[0] += len(ids)
                case DeleteRows(collection, ids_array):
                    killed = self._kill(catalog.numbered(collection), ids_array, ids_array.to_pylist(), seq)
                    live[collection] = live.get(collection, 0) - killed
                    done.setdefault(collection, [0, 0])[1] += killed
                case DropCollection(collection):
                    done.setdefault(collection, [0, 0])[1] += live.pop(collection, 0)
                case _:
                    pass
        live.update({c: 0 for c in catalog.collections if c not in live})
        self.tip = Tip(seq, time_us, catalog, live)
        return [CollectionCounts(c, up, down, live.get(c, 0)) for c, (up, down) in done.items()]

    def view(self, tip: Tip) -> View:
        """The state as of a tip that is not older than the memtables. Called under the commit lock."""
        segments: dict[int, list[SegmentSource]] = {}
        for state in self.segments.values():
            logs = [log for table in self.memtables() if (log := table.deaths.get(state.id)) is not None]
            segments.setdefault(state.entry.collection, []).append(SegmentSource(state, logs, tip.seq))
        tables: dict[int, list[MemView]] = {}
        for table in self.memtables():
            for collection, rows in table:
                tables.setdefault(collection, []).append(rows.at(tip.seq))
        return View(tip.seq, tip.time_us, tip.catalog, tip.live, segments, tables, self._tools)

    def swap(self, manifest: Manifest, segments: Sequence[SegmentState], moved: Moved, late: Late = ()) -> None:
        """Installs a new manifest with its segments.

        ``moved``: ids of replaced segments to those that hold their rows now; deaths in the memtables, which no
        manifest holds, are found again by id there. ``late``: more deaths, of rows of a memtable that was flushed.
        """
        old, self.segments = self.segments, {s.id: s for s in segments}
        self.manifest = manifest
        for table in self.memtables():
            gone = {i: table.deaths.pop(i) for i in list(table.deaths) if i not in self.segments}
            found = [_refind(old[i], log, self.segments[new]) for i, log in gone.items() for new in moved.get(i, ())]
            _note_deaths(table, found)
        _note_deaths(self.active, late)
        for table in self.memtables():
            for segment_id, log in table.deaths.items():
                self.segments[segment_id].dead_now[log.rows()] = True

    def _kill(self, schema: CollectionSchema, ids_array: pa.Array, ids: list[Any], seq: int) -> int:
        """Ends the life of the live rows of these ids; how many there were."""
        missing = np.arange(len(ids))
        for table in self.memtables():
            rows = table.collections.get(schema.id)
            if rows is None or not len(missing):
                continue
            found = rows.live_rows(ids if len(missing) == len(ids) else [ids[i] for i in missing.tolist()])
            rows.kill(found[found >= 0], seq)
            missing = missing[found < 0]
        segments = [s for s in self.segments.values() if s.entry.collection == schema.id]
        hashes = hash_ids(ids_array) if segments and len(missing) else None
        for state in segments:
            if hashes is not None and len(missing):
                missing = self._kill_in_segment(state, ids_array, hashes, missing, seq)
        return len(ids) - len(missing)

    def _kill_in_segment(self, state: SegmentState, ids: pa.Array, hashes: Hashes, missing: Rows, seq: int) -> Rows:
        if len(missing) == len(ids):
            rows = state.segment.lookup(ids, hashes)
        else:
            rows = state.segment.lookup(ids.take(pa.array(missing)), hashes[missing])
        hit = (rows >= 0) & ~state.dead_now[rows]
        if not hit.any():
            return missing
        self.active.deaths[state.id].add(rows[hit], seq)
        state.dead_now[rows[hit]] = True
        return missing[~hit]


def _refind(old: SegmentState, log: DeathLog, new: SegmentState) -> tuple[str, Rows, Seqs]:
    rows = new.segment.lookup(old.segment.ids(log.rows()))
    return new.id, rows[rows != MISSING], log.seqs()[rows != MISSING]


def _note_deaths(table: Memtable, found: Late) -> None:
    """Starts a log for each segment: deaths from several old segments, in the order of their seqs."""
    for segment_id in {segment_id for segment_id, _, _ in found}:
        rows = np.concatenate([r for i, r, _ in found if i == segment_id])
        seqs = np.concatenate([s for i, _, s in found if i == segment_id])
        order = np.argsort(seqs, kind="stable")
        table.deaths[segment_id].add(rows[order], seqs[order])
