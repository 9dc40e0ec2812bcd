"""The id index of a segment: from id to row and back, in a block file. See docs/formats/id-index.md."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tiervdb.errors import InvalidInputError
from tiervdb.format.block_file import BlockReader
from tiervdb.format.envelope import damaged, newer
from tiervdb.format.ids import Hashes, arrow_rows, hash_ids, numpy_ids
from tiervdb.types import IdArray, Rows

ID_INDEX_VERSION = 1
MISSING = -1
MAX_ROWS = 2**32 - 1
_MAGIC = b"TVIDX\0"
_HEADER = struct.Struct("<6sHHxxxxxxQQ")  # magic, version, kind of ids, rows, bytes of text
_INT64, _STRING = 0, 1
_FEW = 64  # texts: up to so many are made faster one by one


def build(ids: pa.Array) -> Iterator[bytes | memoryview]:
    """The data of an id index, in pieces, for ``BlockWriter.write``.

    ``ids``: int64 or string, without nulls, the id of each row. Raises InvalidInputError for an id that occurs twice,
    more than 2^32 - 1 rows, or more than 2 GiB of text.
    """
    if len(ids) > MAX_ROWS:
        raise InvalidInputError(f"a segment holds at most {MAX_ROWS} rows, not {len(ids)}; write several segments")
    hashes = hash_ids(ids)
    order = np.argsort(hashes, kind="stable")
    hashes = hashes[order]
    _refuse_duplicates(hashes, order, ids)
    kind, text = (_INT64, b"") if pa.types.is_int64(ids.type) else (_STRING, _text(ids))
    yield _HEADER.pack(_MAGIC, ID_INDEX_VERSION, kind, len(ids), len(text))
    yield hashes.astype("<u8", copy=False).data
    yield _padded(order.astype("<u4").tobytes())
    if pa.types.is_int64(ids.type):
        yield ids.to_numpy(zero_copy_only=True).astype("<i8", copy=False).data
    else:
        yield _padded(_offsets(ids).astype("<i4").tobytes())
        yield text


class IdIndex:
    """Reads an id index from its block file; nothing is read before it is asked for. Thread-safe.

    Raises CorruptionError naming the file for what cannot be right.
    """

    def __init__(self, reader: BlockReader) -> None:
        self._reader = reader
        header = reader.view(0, _HEADER.size) if reader.length >= _HEADER.size else b"\0" * _HEADER.size
        magic, version, kind, rows, text = _HEADER.unpack(header)
        if magic != _MAGIC:
            raise damaged(reader.name, "it does not start as an id index")
        if version > ID_INDEX_VERSION:
            raise newer(reader.name, version, ID_INDEX_VERSION)
        if version < 1 or kind not in {_INT64, _STRING}:
            raise damaged(reader.name, f"it has version {version} and ids of kind {kind}")
        self.rows: int = rows
        self._layout = _Layout(rows, kind == _STRING, text)
        if self._layout.end != reader.length:
            raise damaged(reader.name, f"its {rows} rows need {self._layout.end} bytes, and it has {reader.length}")

    def lookup(self, ids: pa.Array, hashes: Hashes | None = None) -> Rows:
        """The row of each id, -1 where it has none.

        ``ids``: of the index's type, without nulls. ``hashes``: theirs, where one asks several indexes.
        """
        found = np.full(len(ids), MISSING, np.int64)
        if not self.rows or not len(ids):
            return found
        wanted = hash_ids(ids) if hashes is None else hashes
        at = np.searchsorted(self._hashes, wanted)
        open_ = np.arange(len(ids))
        while True:
            open_ = open_[at[open_] < self.rows]
            open_ = open_[self._hashes[at[open_]] == wanted[open_]]
            if not len(open_):
                return found
            rows = self._rows[at[open_]].astype(np.int64)
            same = self._same(ids, open_, rows)
            found[open_[same]] = rows[same]
            open_ = open_[~same]  # another id with that hash: try the next entry
            at[open_] += 1

    def ids(self, rows: Rows | None = None) -> pa.Array:
        """The ids of these rows, in their order; without ``rows`` those of all rows, not copied."""
        if rows is None:
            return self._ids
        # Arrow's own pool takes 4 MB when it is first used, which a search need not pay for ten ids.
        return pc.take(self._ids, arrow_rows(rows), memory_pool=pa.system_memory_pool())

    def values(self, rows: Rows) -> IdArray:
        """The ids of these rows as numpy holds them: for a few rows several times faster than ``ids``."""
        numbers, text = self._plain
        if text is None:
            found: IdArray = numbers[rows]
            return found
        if len(rows) > _FEW:
            many: IdArray = numpy_ids(self.ids(rows))
            return many
        ends = zip(numbers[rows].tolist(), numbers[rows + 1].tolist(), strict=True)
        return np.array([str(text[a:b], "utf-8") for a, b in ends], np.object_)

    def _same(self, ids: pa.Array, positions: npt.NDArray[np.int64], rows: Rows) -> npt.NDArray[np.bool_]:
        if self._ids.type != ids.type:
            return np.zeros(len(rows), np.bool_)
        equal = pc.equal(self._ids.take(pa.array(rows)), ids.take(pa.array(positions)))
        same: npt.NDArray[np.bool_] = equal.to_numpy(zero_copy_only=False)
        return same

    @cached_property
    def _hashes(self) -> Hashes:
        view = self._reader.view(self._layout.hashes, self.rows * 8)
        return np.frombuffer(view, "<u8")

    @cached_property
    def _rows(self) -> npt.NDArray[np.uint32]:
        rows = np.frombuffer(self._reader.view(self._layout.row_numbers, self.rows * 4), "<u4")
        if self.rows and int(rows.max()) >= self.rows:
            raise damaged(self._reader.name, f"it names row {rows.max()} and has {self.rows} rows")
        return rows

    @cached_property
    def _ids(self) -> pa.Array:
        layout, view = self._layout, self._reader.view
        if not layout.strings:
            return pa.Array.from_buffers(pa.int64(), self.rows, [None, pa.py_buffer(view(layout.ids, self.rows * 8))])
        offsets = view(layout.ids, (self.rows + 1) * 4)
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(view(layout.text, layout.text_bytes))]
        try:
            ids = pa.Array.from_buffers(pa.string(), self.rows, buffers)
            ids.validate(full=True)
        except pa.ArrowInvalid as error:
            raise damaged(self._reader.name, f"its ids are no text ({error})") from error
        return ids

    @cached_property
    def _plain(self) -> tuple[npt.NDArray[np.integer], memoryview | None]:
        """int64 ids; or where the text of each begins and the next one's, and all text."""
        buffers = self._ids.buffers()
        if not self._layout.strings:
            return np.frombuffer(buffers[1], np.int64), None
        return np.frombuffer(buffers[1], np.int32), memoryview(buffers[2])


@dataclass(frozen=True)
class _Layout:
    """Where the parts of an index begin."""

    count: int
    strings: bool
    text_bytes: int

    @property
    def hashes(self) -> int:
        return _HEADER.size

    @property
    def row_numbers(self) -> int:
        return self.hashes + self.count * 8

    @property
    def ids(self) -> int:
        return self.row_numbers + _round_up(self.count * 4)

    @property
    def text(self) -> int:
        return self.ids + (_round_up((self.count + 1) * 4) if self.strings else self.count * 8)

    @property
    def end(self) -> int:
        return self.text + self.text_bytes


def _round_up(length: int) -> int:
    return -(-length // 8) * 8


def _padded(data: bytes) -> bytes:
    return data.ljust(_round_up(len(data)), b"\0")


def _offsets(ids: pa.Array) -> npt.NDArray[np.int32]:
    raw = ids.buffers()[1]
    if raw is None or not len(ids):
        return np.zeros(1, np.int32)
    offsets = np.frombuffer(raw, np.int32)[ids.offset : ids.offset + len(ids) + 1]
    relative: npt.NDArray[np.int32] = offsets - offsets[0]
    return relative


def _text(ids: pa.Array) -> bytes | memoryview:
    raw, data = ids.buffers()[1:]
    if data is None or not len(ids):
        return b""
    offsets = np.frombuffer(raw, np.int32)
    return memoryview(data)[offsets[ids.offset] : offsets[ids.offset + len(ids)]]


def _refuse_duplicates(hashes: Hashes, order: npt.NDArray[np.int64], ids: pa.Array) -> None:
    """``hashes`` are sorted. Equal ids have equal hashes, and equal hashes are rare."""
    runs = np.flatnonzero(hashes[1:] == hashes[:-1])
    if not len(runs):
        return
    suspects = np.unique(np.concatenate([order[runs], order[runs + 1]]))
    values = ids.take(pa.array(suspects))
    if len(values.unique()) != len(values):
        twice = next(v["values"] for v in values.value_counts().to_pylist() if v["counts"] > 1)
        raise InvalidInputError(f"the id {twice!r} occurs twice in one segment; ids are unique")
