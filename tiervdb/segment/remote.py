"""The part of a cold segment that is not local: vectors and stored columns, read from its Parquet object."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import pyarrow as pa

from tiervdb.errors import CorruptionError, ObjectNotFoundError
from tiervdb.format.block_file import BlockReader
from tiervdb.format.manifest_entries import SegmentEntry
from tiervdb.segment.cold_columns import ColdColumns
from tiervdb.segment.cold_reader import ColdVectors
from tiervdb.segment.request import SearchTally
from tiervdb.storage.cache import forget, keeps
from tiervdb.storage.object_store import ObjectStore
from tiervdb.storage.tally import measured
from tiervdb.storage.wave import Read
from tiervdb.types import Column, Rows, Vectors

SMALL_BYTES = 256 << 10  # of column chunks that are read beside the vectors, though few of the rows will be wanted

_T = TypeVar("_T")


class RemoteRows:
    """Reads rows of one Parquet object. Safe for threads."""

    def __init__(self, store: ObjectStore, entry: SegmentEntry, dim: int, sums: BlockReader) -> None:
        file = entry.objects.get("parquet")
        if file is None:
            raise CorruptionError(f"opening segment {entry.id}: the manifest names no Parquet object for it")
        checksums = np.frombuffer(sums.view(0, sums.length), "<u4")
        self._store = store
        self._key = file.name
        self._vectors = ColdVectors(store, file.name, dim, entry.row_groups, checksums)
        self._columns = ColdColumns(store, file)

    def vectors(self, rows: Rows) -> Vectors:
        return self._twice(lambda: self._vectors.fetch(rows))

    def counted(self, rows: Rows, tally: SearchTally) -> Vectors:
        """The vectors; GETs, bytes and waves are added to the tally."""
        with measured() as cost:
            vectors = self.vectors(rows)
        tally.fetched(cost.gets, cost.bytes_read, cost.waves, cost.cache_hits)
        return vectors

    def column_reads(self, rows: Rows, columns: Sequence[Column], small: bool) -> list[Read]:
        """What to read now, so that ``columns`` finds it in the cache. Nothing without a cache.

        ``small``: while the footer is not known, that alone; then the chunks, if they are small.
        """
        if not keeps(self._store):
            return []
        footer = self._columns.missing_footer()
        if small and footer is not None:
            return [footer]
        chunks = self._twice(lambda: self._columns.chunks_of(rows, columns))
        if not chunks or (small and sum(c.length for c in chunks) > SMALL_BYTES):
            return []
        return [Read(self._key, chunks)]

    def pages(self, rows: Rows) -> Read:
        """What to read for the vectors of these rows."""
        return Read(self._key, self._vectors.pages(rows))

    def from_pages(self, rows: Rows, read: Read, pieces: Sequence[bytes]) -> Vectors:
        """The vectors out of what was read; damaged ones are read once more."""
        try:
            return self._vectors.from_pages(rows, read.ranges, pieces)
        except CorruptionError:
            if not forget(self._store, self._key):
                raise
            return self._read(lambda: self._vectors.fetch(rows))

    def columns(self, rows: Rows | None, columns: Sequence[Column]) -> dict[int, pa.Array]:
        return self._twice(lambda: self._columns.read(rows, columns))

    def _twice(self, read: Callable[[], _T]) -> _T:
        """Damaged bytes may come from the cache: then the store is asked again."""
        try:
            return self._read(read)
        except CorruptionError:
            if not forget(self._store, self._key):
                raise
            return self._read(read)

    def _read(self, read: Callable[[], _T]) -> _T:
        try:
            return read()
        except ObjectNotFoundError as error:
            raise lost_object(self._store, error) from error


def lost_object(store: ObjectStore, error: ObjectNotFoundError) -> CorruptionError:
    """That an object which a cold segment needs is not there is damage, not a question of asking again."""
    return CorruptionError(
        f"{store.url} does not hold an object that a cold segment needs ({error}): it was deleted, or the store is not "
        "the one that it was written to. Bring the object back from a versioned bucket or another copy, or open a "
        "clone or snapshot that has it"
    )
