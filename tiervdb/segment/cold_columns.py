"""Reads columns of a Parquet object in a store: its footer once, then only the chunks that hold the rows asked for."""

from __future__ import annotations

import bisect
import io
import threading
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tiervdb.errors import CorruptionError
from tiervdb.format.columns import arrow_type
from tiervdb.format.manifest_entries import FileRef
from tiervdb.segment.cold_seal import FIXED_BYTES, Footer, SealError, chunk_range, matches, missing_bytes, open_footer
from tiervdb.segment.cold_writer import ID_FIELD
from tiervdb.storage.object_store import ByteRange, ObjectStore
from tiervdb.storage.wave import Read, read_together
from tiervdb.types import Column, Rows

FOOTER_BYTES = 64 << 10  # read at first; a larger footer takes a second read
_FIELD_ID = b"PARQUET:field_id"


class ColdColumns:
    """The id and the columns of a Parquet object, found by ``field_id``. Pages are checked when read. Thread-safe.

    ``file``: key and size, from the manifest. Raises CorruptionError naming the object for damaged bytes.
    """

    def __init__(self, store: ObjectStore, file: FileRef) -> None:
        self._store = store
        self._file = file
        self._lock = threading.Lock()
        self._footer: Footer | None = None

    @property
    def row_starts(self) -> npt.NDArray[np.int64]:
        """The first row of every row group, and the number of rows at the end."""
        metadata = self._opened().metadata
        return np.cumsum([0, *(metadata.row_group(g).num_rows for g in range(metadata.num_row_groups))])

    def read(self, rows: Rows | None, columns: Sequence[Column]) -> dict[int, pa.Array]:
        """The values of these rows (None: all), in their order, by column id, of those columns that the object has."""
        starts = self.row_starts
        if rows is None:
            rows = np.arange(starts[-1])
        found = self._fields([c.id for c in columns])
        if not found or not len(rows):
            return {c.id: pa.array([], arrow_type(c.type)) for c in columns if c.id in found}
        groups = np.unique(np.searchsorted(starts, rows, side="right") - 1)
        table = self._read(groups.tolist(), [found[c] for c in found])
        held = np.cumsum([0, *(int(starts[g + 1] - starts[g]) for g in groups)])  # where the groups stand in the table
        nth = np.searchsorted(groups, np.searchsorted(starts, rows, side="right") - 1)
        at = pa.array(rows - starts[groups[nth]] + held[nth])
        return {c.id: self._typed(table.column(found[c.id]).take(at), c) for c in columns if c.id in found}

    def read_group(self, group: int, columns: Sequence[Column]) -> tuple[pa.Array, dict[int, pa.Array]]:
        """The ids and the columns of one row group."""
        found = self._fields([ID_FIELD, *(c.id for c in columns)])
        table = self._read([group], list(found.values()))
        values = {c.id: self._typed(table.column(found[c.id]), c) for c in columns if c.id in found}
        return _joined(table.column(found[ID_FIELD])), values

    def missing_footer(self) -> Read | None:
        """What to read before anything else; None if the footer is known."""
        if self._footer is not None:
            return None
        length = min(self._file.size, FOOTER_BYTES)
        return Read(self._file.name, [ByteRange(self._file.size - length, length)])

    def chunks_of(self, rows: Rows, columns: Sequence[Column]) -> list[ByteRange]:
        """The column chunks that hold these columns of these rows. The footer must be known."""
        found = self._fields([c.id for c in columns])
        metadata = self._opened().metadata
        groups = np.unique(np.searchsorted(self.row_starts, rows, side="right") - 1).tolist()
        leaves = _leaves(metadata, set(found.values()))
        return [chunk_range(metadata.row_group(g).column(c)) for g in groups for c in leaves]

    def _fields(self, numbers: Iterable[int]) -> dict[int, str]:
        """Names in the file, by ``field_id``: a column may have been renamed, or another one have its name now."""
        schema = self._opened().metadata.schema.to_arrow_schema()
        names = {int((schema.field(n).metadata or {}).get(_FIELD_ID, b"-1")): n for n in schema.names}
        return {number: names[number] for number in numbers if number in names}

    def _opened(self) -> Footer:
        with self._lock:
            if self._footer is None:
                self._footer = self._read_footer()
            return self._footer

    def _read_footer(self) -> Footer:
        try:
            tail = self._read_tail(FOOTER_BYTES)
            while (needed := missing_bytes(tail)) > len(tail):
                if needed > self._file.size:
                    raise self._damaged("it does not end as a Parquet file")
                tail = self._read_tail(needed + FOOTER_BYTES)  # what stands before it is known only then
            return open_footer(tail)
        except SealError as error:
            raise self._damaged(str(error)) from error

    def _read_tail(self, wanted: int) -> bytes:
        length = min(self._file.size, wanted)
        if length < FIXED_BYTES:
            raise self._damaged(f"it has {self._file.size} bytes")
        (tail,) = self._store.get_ranges(self._file.name, [ByteRange(self._file.size - length, length)])
        return tail

    def _read(self, groups: Sequence[int], names: Sequence[str]) -> pa.Table:
        """These columns of these row groups: one wave of range reads, then decoding, both checked."""
        footer = self._opened()
        metadata = footer.metadata
        leaves = _leaves(metadata, set(names))
        chunks = [chunk_range(metadata.row_group(g).column(c)) for g in groups for c in leaves]
        pieces = read_together(self._store, self._file.name, chunks)
        held = _Held(self._file.size, dict(zip((c.start for c in chunks), pieces, strict=True)))
        if not matches(footer.sums[np.ix_(groups, leaves)].ravel().tolist(), [held.at(c) for c in chunks]):
            raise self._damaged(f"the checksums of columns {', '.join(map(repr, names))} do not match")
        try:
            file = pq.ParquetFile(
                pa.PythonFile(held, "r"), metadata=metadata, page_checksum_verification=True, pre_buffer=False
            )
            table = file.read_row_groups(list(groups), columns=list(names), use_threads=False)
            table.validate(full=True)
        except (pa.ArrowException, OSError, EOFError) as error:
            raise self._damaged(str(error)) from error
        return table.combine_chunks()

    def _typed(self, values: pa.ChunkedArray, column: Column) -> pa.Array:
        if values.type != arrow_type(column.type):
            raise self._damaged(f"column {column.name!r} has the type {values.type} instead of {column.type}")
        return _joined(values)

    def _damaged(self, what: str) -> CorruptionError:
        return CorruptionError(
            f"reading columns of {self._file.name} in {self._store.url}: {what}; "
            "the object is damaged: restore it from a backup"
        )


class _Held(io.RawIOBase):
    """A file of which only some ranges are held; reading others is an error."""

    def __init__(self, size: int, pieces: dict[int, bytes]) -> None:
        super().__init__()
        self._size = size
        self._pieces = pieces
        self._starts = sorted(pieces)
        self._at = 0

    def at(self, place: ByteRange) -> bytes:
        """The bytes of a range that is held."""
        self.seek(place.start)
        return self.read(place.length)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        wanted = self._size - self._at if size < 0 else size
        index = bisect.bisect_right(self._starts, self._at) - 1
        start = self._starts[index] if index >= 0 else self._size
        piece = self._pieces.get(start, b"")[self._at - start : self._at - start + wanted]
        if self._at < start or len(piece) < wanted:
            raise EOFError(f"its footer names bytes {self._at} to {self._at + wanted} outside of the columns' chunks")
        self._at += wanted
        return piece


def _leaves(metadata: Any, names: set[str]) -> list[int]:
    """Numbers of the Parquet columns of these Arrow columns."""
    columns = range(metadata.num_columns)
    return [c for c in columns if _root(metadata.schema.column(c).path, names)]


def _root(path: str, names: set[str]) -> bool:
    """Names may have dots, so the list's own part is cut off instead of taking what stands before the first dot."""
    return path in names or path.removesuffix(".list.element") in names


def _joined(values: pa.ChunkedArray) -> pa.Array:
    if values.num_chunks == 1:
        return values.chunk(0)
    return values.combine_chunks() if values.num_chunks else pa.array([], values.type)
