"""Local files whose blocks are checked when they are first touched.

Data, then a table with the CRC32C of every 64 KiB block, then a footer; so data can be memory-mapped as it is, and a
file that is opened to read one row is not read whole. See docs/formats/block_file.md.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Sequence

import crc32c
import numpy as np
import numpy.typing as npt

from tiervdb.format.envelope import damaged, newer

Bring = Callable[[Sequence[tuple[int, int]]], None]

BLOCK_FILE_VERSION = 1
BLOCK_BYTES = 64 * 1024
_MAGIC = b"TVBLK\0"
_FOOTER = struct.Struct("<6sHIQI")
_CRC = struct.Struct("<I")
FOOTER_BYTES = _FOOTER.size + _CRC.size


class BlockWriter:
    """Writes a block file through ``sink``, which takes the bytes in order.

    After ``finish()``, ``size`` and ``sha256`` (hexadecimal) are those of the whole file; ``length`` is the data's.
    """

    def __init__(self, sink: Callable[[bytes | memoryview], object]) -> None:
        self._sink = sink
        self._sha = hashlib.sha256()
        self._sums: list[int] = []
        self._crc = 0
        self._filled = 0  # bytes of the current block
        self._finished = False
        self.length = 0
        self.size = 0

    def write(self, data: bytes | memoryview) -> None:
        """Appends data of any length; C-contiguous buffers are passed through without a copy."""
        if self._finished:
            raise ValueError("the block file was finished already")
        view = memoryview(data).cast("B")
        self._emit(view)
        self.length += len(view)
        start = 0
        while start < len(view):
            part = view[start : start + BLOCK_BYTES - self._filled]
            self._crc = crc32c.crc32c(part, self._crc)
            self._filled += len(part)
            start += len(part)
            if self._filled == BLOCK_BYTES:
                self._close_block()

    def finish(self) -> None:
        """Writes table and footer. The caller syncs the file."""
        if self._finished:
            return
        if self._filled:
            self._close_block()
        self._finished = True
        table = np.array(self._sums, dtype="<u4").tobytes()
        footer = _FOOTER.pack(_MAGIC, BLOCK_FILE_VERSION, BLOCK_BYTES, self.length, crc32c.crc32c(table))
        self._emit(memoryview(b"".join((table, footer, _CRC.pack(crc32c.crc32c(footer))))))

    @property
    def sha256(self) -> str:
        return self._sha.hexdigest()

    def _emit(self, view: memoryview) -> None:
        self._sink(view)
        self._sha.update(view)
        self.size += len(view)

    def _close_block(self) -> None:
        self._sums.append(self._crc)
        self._crc = self._filled = 0


class BlockReader:
    """Reads a block file from a buffer, usually a memory map.

    Opening checks footer and table. Data is checked block by block when first touched, and only then; threads that
    touch the same block at once check it twice, which is harmless. Damage raises CorruptionError naming ``name``.
    """

    def __init__(self, buffer: memoryview, name: str, bring: Bring | None = None) -> None:
        """``bring``: makes the bytes at each (offset, length) right, where they are not yet; called before a check."""
        self.name = name
        self._buffer = buffer
        self._bring = bring
        if bring is not None:
            tail = min(len(buffer), FOOTER_BYTES + _CRC.size * (-(-len(buffer) // BLOCK_BYTES)))
            bring([(len(buffer) - tail, tail)])
        self.length, table_crc = _read_footer(buffer, name)
        table = buffer[self.length : len(buffer) - FOOTER_BYTES]
        if crc32c.crc32c(table) != table_crc:
            raise damaged(name, "the checksum of its block table does not match")
        self._sums = np.frombuffer(table, dtype="<u4") if len(table) else np.zeros(0, np.uint32)
        self._flags = bytearray(len(self._sums))  # one a block: quick to look up one by one ...
        self._checked = (
            np.frombuffer(self._flags, dtype=np.bool_) if self._flags else np.zeros(0, np.bool_)
        )  # ... or many
        self.verified = not len(self._sums)  # every block was checked

    def view(self, offset: int, length: int) -> memoryview:
        """``length`` bytes of data from ``offset`` on, checked. Raises CorruptionError if they lie outside."""
        end = offset + length
        if offset < 0 or length < 0 or end > self.length:
            raise damaged(self.name, f"bytes {offset} to {end} were asked for and it has {self.length}")
        if not self.verified and length:
            first, last = offset // BLOCK_BYTES, (end - 1) // BLOCK_BYTES
            if not self._flags[first] or (last > first and not self._checked[first : last + 1].all()):
                self._check(range(first, last + 1))
        return self._buffer[offset:end]

    def check_ranges(self, starts: npt.NDArray[np.integer], length: int) -> None:
        """Checks the blocks under many ranges of one length, for gathering rows from ``data`` afterwards."""
        if self.verified or not len(starts) or not length:
            return
        if int(starts.min()) < 0 or int(starts.max()) + length > self.length:
            raise damaged(self.name, f"a range of {length} bytes was asked for outside its {self.length}")
        touched = np.zeros(len(self._sums), dtype=np.bool_)
        first, last = starts // BLOCK_BYTES, (starts + (length - 1)) // BLOCK_BYTES
        for step in range(int((last - first).max()) + 1):
            touched[np.minimum(first + step, last)] = True
        self._check(np.flatnonzero(touched & ~self._checked).tolist())

    @property
    def is_coming(self) -> bool:
        """Whether some of the file may still be elsewhere, so that touching less of it is quicker."""
        return self._bring is not None and not self.verified

    def bring(self, places: Sequence[tuple[int, int]]) -> None:
        """Fetches what is missing at these (offset, length) at once; ``view`` would fetch it place by place."""
        if self._bring is not None and not self.verified:
            self._bring(places)

    @property
    def data(self) -> memoryview:
        """All data as it is; touch only what ``view``, ``check_ranges`` or ``verify`` has checked."""
        return self._buffer[: self.length]

    def verify(self) -> None:
        """Checks every block again, also those checked before."""
        self._checked[:] = False
        self.verified = False
        self._check(range(len(self._sums)))

    def _check(self, blocks: range | list[int]) -> None:
        if self._bring is not None:
            self._bring([(b * BLOCK_BYTES, self._end(b) - b * BLOCK_BYTES) for b in blocks if not self._checked[b]])
        for block in blocks:
            if self._checked[block]:
                continue
            start = block * BLOCK_BYTES
            data = self._buffer[start : self._end(block)]
            if crc32c.crc32c(data) != int(self._sums[block]):
                raise damaged(self.name, f"the checksum of bytes {start} to {start + len(data)} does not match")
            self._checked[block] = True
        self.verified = bool(self._checked.all())

    def _end(self, block: int) -> int:
        return min((block + 1) * BLOCK_BYTES, self.length)


def _read_footer(buffer: memoryview, name: str) -> tuple[int, int]:
    """Data length and CRC of the table."""
    if len(buffer) < FOOTER_BYTES:
        raise damaged(name, f"it has {len(buffer)} bytes, fewer than its footer")
    footer = buffer[len(buffer) - FOOTER_BYTES : len(buffer) - _CRC.size]
    (crc,) = _CRC.unpack_from(buffer, len(buffer) - _CRC.size)
    magic, version, block_bytes, length, table_crc = _FOOTER.unpack(footer)
    if magic != _MAGIC or crc32c.crc32c(footer) != crc:
        raise damaged(name, "it does not end with a valid footer")
    if version > BLOCK_FILE_VERSION:
        raise newer(name, version, BLOCK_FILE_VERSION)
    blocks = -(-length // BLOCK_BYTES)
    if version < 1 or block_bytes != BLOCK_BYTES or length + blocks * 4 + FOOTER_BYTES != len(buffer):
        raise damaged(name, f"its footer names {length} bytes of data, which does not fit its {len(buffer)}")
    return length, table_crc
