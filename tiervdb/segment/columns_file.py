"""The columns of a segment, in a block file: an Arrow IPC stream a column, and a directory.

Each column stands by itself, so reading one neither maps nor checks the bytes of the others. See
docs/formats/columns-file.md.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Sequence

import msgspec
import numpy as np
import pyarrow as pa

from tiervdb.format.block_file import BlockReader, BlockWriter
from tiervdb.format.columns import arrow_type
from tiervdb.format.envelope import damaged, newer
from tiervdb.segment.source import RowSource
from tiervdb.types import Column, Rows

COLUMNS_VERSION = 1
BATCH_ROWS = 65_536
_MAGIC = b"TVCOL\0"
_TAIL = struct.Struct("<IH6s")  # length of the directory, version, magic


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    column: int
    type: str
    offset: int
    length: int


class _Directory(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rows: int
    columns: list[_Entry]


def write_columns(writer: BlockWriter, source: RowSource, columns: Sequence[Column]) -> None:
    """Writes these columns of all rows, a column and 65,536 rows at a time. The caller finishes the block file."""
    entries = []
    for column in columns:
        start = writer.length
        writer.write(memoryview(_stream(source, column)))
        entries.append(_Entry(column.id, column.type, start, writer.length - start))
        writer.write(b"\0" * (-writer.length % 64))  # Arrow reads aligned buffers in place
    directory = msgspec.msgpack.encode(_Directory(source.rows, entries))
    writer.write(directory + _TAIL.pack(len(directory), COLUMNS_VERSION, _MAGIC))


def _stream(source: RowSource, column: Column) -> pa.Buffer:
    kind = arrow_type(column.type)
    schema = pa.schema([pa.field("values", kind)])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as stream:
        for start in range(0, source.rows, BATCH_ROWS):
            rows = np.arange(start, min(start + BATCH_ROWS, source.rows))
            values = source.columns([column.id], rows).get(column.id)
            array = pa.nulls(len(rows), kind) if values is None else values.cast(kind)
            stream.write_batch(pa.record_batch([array], schema=schema))
    return sink.getvalue()


class ColumnsFile:
    """Reads columns from their block file, each when it is first asked for. Thread-safe.

    Raises CorruptionError naming the file for what cannot be right.
    """

    def __init__(self, reader: BlockReader) -> None:
        self._reader = reader
        directory = _read_directory(reader)
        self.rows = directory.rows
        self._entries = {entry.column: entry for entry in directory.columns}
        self._columns: dict[int, pa.ChunkedArray] = {}
        self._lock = threading.Lock()

    @property
    def column_ids(self) -> tuple[int, ...]:
        return tuple(self._entries)

    def column(self, column_id: int) -> pa.ChunkedArray:
        """All values of a column that the file has, in chunks of 65,536 rows, not copied."""
        with self._lock:
            if column_id not in self._columns:
                self._columns[column_id] = self._load(self._entries[column_id])
            return self._columns[column_id]

    def table(self, column_ids: Sequence[int]) -> dict[int, pa.ChunkedArray]:
        """All values of those of the columns that the file has, by column id, not copied."""
        return {c: self.column(c) for c in column_ids if c in self._entries}

    def take(self, rows: Rows | None, column_ids: Sequence[int]) -> dict[int, pa.Array]:
        """The values of these rows (None: all), in their order, of those of the columns that the file has."""
        at = None if rows is None else pa.array(rows)
        return {c: _joined(v if at is None else v.take(at)) for c, v in self.table(column_ids).items()}

    def _load(self, entry: _Entry) -> pa.ChunkedArray:
        name = f"column {entry.column} of {self._reader.name}"
        view = self._reader.view(entry.offset, entry.length)
        try:
            table = pa.ipc.open_stream(pa.py_buffer(view)).read_all()
            table.validate(full=True)
            values = table.column(0)
        except (pa.ArrowException, OSError, IndexError) as error:
            raise damaged(self._reader.name, f"column {entry.column} is no Arrow stream ({error})") from error
        if len(values) != self.rows or values.type != arrow_type(entry.type):
            raise damaged(self._reader.name, f"{name} has {len(values)} values of {values.type}, not {self.rows}")
        return values


def _read_directory(reader: BlockReader) -> _Directory:
    if reader.length < _TAIL.size:
        raise damaged(reader.name, f"it has {reader.length} bytes of data, fewer than the end of a columns file")
    length, version, magic = _TAIL.unpack(reader.view(reader.length - _TAIL.size, _TAIL.size))
    if magic != _MAGIC:
        raise damaged(reader.name, "it does not end as a columns file")
    if version > COLUMNS_VERSION:
        raise newer(reader.name, version, COLUMNS_VERSION)
    start = reader.length - _TAIL.size - length
    try:
        directory = msgspec.msgpack.decode(reader.view(start, length), type=_Directory)
    except msgspec.MsgspecError as error:
        raise damaged(reader.name, f"its directory cannot be read ({error})") from error
    if any(e.offset < 0 or e.length < 0 or e.offset + e.length > start for e in directory.columns):
        raise damaged(reader.name, "its directory names bytes outside of it")
    return directory


def _joined(values: pa.ChunkedArray) -> pa.Array:
    if values.num_chunks == 1:
        return values.chunk(0)
    return values.combine_chunks() if values.num_chunks else pa.array([], values.type)
