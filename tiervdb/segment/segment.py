"""An open segment, hot or cold: its rows, its columns, and search among its vectors."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from tiervdb.errors import CorruptionError
from tiervdb.format.block_file import BlockReader
from tiervdb.format.columns import arrow_type
from tiervdb.format.envelope import damaged
from tiervdb.format.ids import Hashes
from tiervdb.format.manifest_entries import SegmentEntry
from tiervdb.segment import search as searching
from tiervdb.segment.calibration import SketchCalibration
from tiervdb.segment.codebook import Codebook
from tiervdb.segment.cold_means import ColdMeans
from tiervdb.segment.cold_sketch import ColdSketch
from tiervdb.segment.columns_file import ColumnsFile
from tiervdb.segment.distance import Norms, row_norms
from tiervdb.segment.graph import Graph
from tiervdb.segment.graph_file import GraphFile, open_graph_file
from tiervdb.segment.id_index import IdIndex
from tiervdb.segment.probing import LiveLists
from tiervdb.segment.remote import RemoteRows
from tiervdb.segment.request import Candidates, SearchRequest, SearchTally
from tiervdb.segment.sketch import Codes, ListNumbers, Lists, pack_mask
from tiervdb.segment.sketch_file import SketchFile, SketchHeader, open_sketch
from tiervdb.segment.source import BatchSource, RowSource
from tiervdb.segment.strategy import Measured, Strategy, choose
from tiervdb.segment.vector_file import VectorFile
from tiervdb.storage.local_dir import LocalDir
from tiervdb.types import CollectionSchema, IdArray, Mask, Rows, Vectors

__all__ = ["BatchSource", "Candidates", "RowSource", "SearchRequest", "SearchTally", "Segment", "open_segment"]

_STRATEGIES = 256  # choices that are kept


def open_segment(
    local: LocalDir,
    entry: SegmentEntry,
    schema: CollectionSchema,
    codebook: Codebook | None,
    cold: ColdMeans | None,
) -> Segment:
    """Opens a segment: files are mapped and read when they are first needed.

    ``schema``: of its collection. ``codebook``: the one that the entry names. ``cold``: for cold ones.
    """
    return Segment(local, entry, schema, codebook, cold)


class Segment:
    """An immutable set of rows. All methods may be called from any thread.

    Damaged files raise CorruptionError naming them, when the damaged part is first touched.
    """

    def __init__(
        self,
        local: LocalDir,
        entry: SegmentEntry,
        schema: CollectionSchema,
        codebook: Codebook | None,
        cold: ColdMeans | None,
    ) -> None:
        self.entry = entry
        self.rows = entry.rows
        self.dim = schema.dim
        self.metric = schema.metric
        self.remote = entry.tier == "cold"
        self.title = f"{entry.tier} segment {entry.id[:8]} ({entry.rows} rows)"
        self._local = local
        self._schema = schema
        self._codebook = codebook
        self._means = cold
        self._lock = threading.RLock()
        self._lists: Lists | None = None
        self._graph: Graph | None = None
        self._strategies: dict[tuple[int, int, SearchRequest], Strategy] = {}
        self._last_live: tuple[Mask, LiveLists] | None = None

    # rows

    def lookup(self, ids: pa.Array, hashes: Hashes | None = None) -> Rows:
        """The row of each id, -1 where it has none; dead rows are found too. ``hashes``: of the ids, if known."""
        return self._ids.lookup(ids, hashes)

    def ids(self, rows: Rows | None = None) -> pa.Array:
        """The ids of the given rows (None: all)."""
        return self._ids.ids(rows)

    def id_values(self, rows: Rows) -> IdArray:
        """The same of a few rows as a numpy array, which is faster."""
        return self._ids.values(rows)

    def vectors(self, rows: Rows) -> Vectors:
        """The vectors of the given rows, float32 ``(rows, dim)``, bit for bit as they were written."""
        return self.cold_rows.vectors(rows) if self.remote else self._hot.take(rows)

    def columns(self, column_ids: Sequence[int], rows: Rows | None = None) -> dict[int, pa.Array]:
        """The columns that the segment holds of the given rows (None: all); stored ones of a cold segment are read
        from the store."""
        found = self._columns.take(rows, [c for c in column_ids if c in self.entry.columns])
        if self.remote:
            wanted = {c for c in column_ids if c in self.entry.columns} - found.keys()
            stored = [c for c in self._schema.columns if c.id in wanted]
            if stored:
                found |= self.cold_rows.columns(rows, stored)
        return found

    def filter_table(self, schema: CollectionSchema) -> pa.Table:
        """``id`` and all columns that filters may use, under their present names, of all rows."""
        columns = schema.filter_columns
        held = self._columns.table([c.id for c in columns])
        named = {c.name: held[c.id] if c.id in held else pa.nulls(self.rows, arrow_type(c.type)) for c in columns}
        return pa.table({"id": self.ids(), **named})

    # search

    def search(
        self, queries: Vectors, k: int, live: Mask | None, request: SearchRequest, tally: SearchTally
    ) -> Candidates:
        """The nearest live rows of each query, ``(queries, min(k, live rows))``: always that many.

        ``queries``: float32 ``(queries, dim)``, C order. ``live``: one flag a row, None: all. Distances are exact
        unless ``rerank=0`` was asked for. Raises StoreUnavailableError if a cold segment's store is needed and away.
        """
        return searching.search(self, queries, k, live, request, tally)

    def strategy(self, k: int, live: int, request: SearchRequest) -> Strategy:
        """How to search for k neighbours among so many live rows. k is at most ``live``."""
        key = (k, live, request)
        known = self._strategies.get(key)
        if known is None:
            if len(self._strategies) >= _STRATEGIES:
                self._strategies = {}
            known = self._strategies[key] = choose(self._measured, k, live, request)
        return known

    def calibration(self) -> SketchCalibration | None:
        """What the sketch was measured to reach; None without a sketch, or while that of a cold segment is not here."""
        if self.remote:
            head = self.cold_sketch.head()
            return None if head is None else head.header.calibration
        return None if self._sketch is None else self._sketch.header.calibration

    def span(self, start: int, end: int, tally: SearchTally) -> Vectors:
        """The vectors of the rows from ``start`` to ``end``, without a copy where they are local."""
        if self.remote:
            return self.cold_rows.counted(np.arange(start, end, dtype=np.int64), tally)
        return self._hot.span(start, end)

    def fetch(self, rows: Rows, tally: SearchTally) -> Vectors:
        """The vectors of the given rows; what that costs is counted."""
        return self.cold_rows.counted(rows, tally) if self.remote else self._hot.take(rows)

    def norms(self) -> Norms | None:
        """Lengths of all vectors, kept, for segments that are searched exactly; None for others."""
        return None if self.remote or self._sketch is not None else self._norms

    def lists(self) -> Lists:
        """The sketch in memory, loaded when first asked for; of a cold segment, as far as it is here."""
        if self.remote:
            return self.cold_sketch.lists()
        lists = self._lists
        if lists is None:
            with self._lock:
                lists = self._lists
                if lists is None:
                    if self._sketch is None or self._codebook is None:
                        raise ValueError(f"{self.title} has no sketch")
                    codes = None if self._sketch.reader.is_coming else self._sketch.codes()
                    lists = self._lists = Lists(self._codebook, codes, self._sketch.offsets)
        return lists

    def load_lists(self, lists: Lists, numbers: ListNumbers) -> None:
        """Makes lists ready to scan that a lazy restore has left elsewhere; all others are."""
        if lists.whole:
            return
        absent = np.unique(numbers)
        absent = absent[(absent >= 0) & ~lists.there[absent]]
        if len(absent) and self._sketch is not None:
            for number, codes in zip(absent.tolist(), self._sketch.pieces(absent), strict=True):
                lists.put(number, codes)

    def graph(self) -> Graph:
        """The graph in memory, loaded when first asked for; its file is checked before."""
        if self._graph is None:
            with self._lock:
                if self._graph is None:
                    if self._graph_file is None:
                        raise ValueError(f"{self.title} has no graph")
                    head = self._graph_file
                    self._graph = Graph.load(self.graph_path(), self.metric, self.dim, head.size, head.labels)
        return self._graph

    def live_lists(self, live: Mask) -> LiveLists:
        """A mask as the sketch wants it. The last one is kept, if nobody can change it."""
        last = self._last_live
        if last is not None and last[0] is live:
            return last[1]
        held = self.lists().matches(live)
        made = LiveLists(pack_mask(live), held, held > 0)
        if not live.flags.writeable:
            self._last_live = (live, made)
        return made

    # for writing other segments and for checking

    def coded(self) -> tuple[ListNumbers, Codes] | None:
        """The list and the code of each row under the entry's codebook."""
        if self.remote:
            sketch = self.cold_sketch.whole()
        elif self._sketch is not None:
            sketch = self._sketch.data()
        else:
            return None
        return np.repeat(np.arange(sketch.header.nlist), np.diff(sketch.offsets)), sketch.codes

    @property
    def codebook(self) -> Codebook | None:
        """What the sketch was coded under; None without a sketch."""
        return self._codebook

    def release_lists(self) -> None:
        """Gives the memory of the loaded sketch back; it is loaded again when it is needed."""
        self._lists = None

    def graph_file(self) -> GraphFile | None:
        """What is known of the graph without loading it."""
        return self._graph_file

    def graph_path(self) -> Path:
        """The graph's file, after its checksum was compared with the manifest's: hnswlib has none of its own."""
        file = self.entry.files["graph"]
        data = self._local.map(file.name)
        if len(data) != file.size or hashlib.sha256(data).hexdigest() != file.sha256:
            raise damaged(str(self._local.path(file.name)), "its checksum is not the manifest's")
        return self._local.complete(file.name)

    def verify(self) -> None:
        """Reads every local file whole. Raises CorruptionError naming the first that is damaged."""
        for role, file in self.entry.files.items():
            if role == "graph":
                self.graph_path()
                continue
            reader = self._reader(role)
            reader.verify()
            if len(self._local.map(file.name)) != file.size:
                raise damaged(reader.name, f"the manifest says that it has {file.size} bytes")
        if self._ids.rows != self.rows or self._columns.rows != self.rows:
            raise CorruptionError(f"{self.title}: its files do not hold {self.rows} rows; run `tiervdb check`")
        if self._graph_file is not None and self._graph_file.size < self.rows:
            raise CorruptionError(f"{self.title}: its graph holds {self._graph_file.size} rows; run `tiervdb check`")

    def _reader(self, role: str) -> BlockReader:
        file = self.entry.files.get(role)
        if file is None:
            raise CorruptionError(
                f"opening {self.title}: the manifest lists no {role} file for it; restore it from a backup"
            )
        data, bring = self._local.map_blocks(file.name)
        return BlockReader(data, str(self._local.path(file.name)), bring)

    @cached_property
    def _ids(self) -> IdIndex:
        return IdIndex(self._reader("ids"))

    @cached_property
    def _columns(self) -> ColumnsFile:
        return ColumnsFile(self._reader("columns"))

    @cached_property
    def _hot(self) -> VectorFile:
        return VectorFile(self._reader("vectors"), self.rows, self.dim)

    @property
    def means(self) -> ColdMeans:
        """What a cold segment reads with."""
        if self._means is None:
            raise CorruptionError(f"{self.title} was opened without a cold store")
        return self._means

    @cached_property
    def cold_rows(self) -> RemoteRows:
        """Vectors and stored columns of a cold segment."""
        return RemoteRows(self.means.store, self.entry, self.dim, self._reader("rowsums"))

    @cached_property
    def cold_sketch(self) -> ColdSketch:
        """The sketch of a cold segment."""
        reference, means = self.entry.objects.get("sketch"), self.means
        if reference is None or self._codebook is None:
            raise CorruptionError(f"opening {self.title}: the manifest names no sketch object or no codebook for it")
        return ColdSketch(means.store, self.entry, reference, self._codebook, means.copies, means.residents)

    @cached_property
    def _sketch(self) -> SketchFile | None:
        if "sketch" not in self.entry.files:
            return None
        opened = open_sketch(self._reader("sketch"))
        header = opened.header
        if self._codebook is None or (header.codebook, header.rows, header.dim, header.nlist) != (
            self._codebook.id,
            self.rows,
            self.dim,
            self._codebook.nlist,
        ):
            raise damaged(opened.reader.name, "it does not belong to this segment and its codebook")
        return opened

    @cached_property
    def _graph_file(self) -> GraphFile | None:
        if "graph" not in self.entry.files:
            return None
        return open_graph_file(self._reader("graphrows"), self.rows)

    @cached_property
    def _norms(self) -> Norms:
        return row_norms(self._hot.span(0, self.rows))

    def _sketch_header(self) -> SketchHeader | None:
        if not self.remote:
            return None if self._sketch is None else self._sketch.header
        head = self.cold_sketch.head()
        if head is None:
            raise ValueError(f"the sketch of {self.title} is not here yet")
        return head.header

    @cached_property
    def _measured(self) -> Measured:
        sketch = self._sketch_header()
        return Measured(
            metric=self.metric,
            tier=self.entry.tier,
            rows=self.rows,
            dim=self.dim,
            nlist=0 if sketch is None else sketch.nlist,
            sketch=None if sketch is None else sketch.calibration,
            graph=None if self._graph_file is None else self._graph_file.calibration,
        )
