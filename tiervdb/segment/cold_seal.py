"""Checksums inside a Parquet object, between its row groups and its footer, where Parquet readers never look.

Parquet's own page checksums leave page headers and the footer unprotected. See docs/formats/parquet.md.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import crc32c
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tiervdb.storage.object_store import ByteRange

_MAGIC = b"TVFT"
_SEAL = struct.Struct("<I4sI")  # number of chunks, magic, CRC32C of chunk sums and footer
_TAIL = struct.Struct("<I4s")  # Parquet's own: length of the footer, magic
_PIECE = 1 << 20

FIXED_BYTES = _SEAL.size + _TAIL.size


class SealError(Exception):
    """The end of the file cannot be right; the message says why."""


@dataclass(frozen=True)
class Footer:
    """``metadata``: pyarrow's. ``sums``: CRC32C of every column chunk, ``(row groups, leaf columns)``."""

    metadata: Any
    sums: npt.NDArray[np.uint32]


def chunk_range(chunk: Any) -> ByteRange:
    """Where a column chunk lies. ``chunk``: pyarrow's metadata of it."""
    start = chunk.data_page_offset
    if chunk.has_dictionary_page and chunk.dictionary_page_offset is not None:
        start = min(start, chunk.dictionary_page_offset)
    return ByteRange(start, chunk.total_compressed_size)


def seal(path: Path) -> None:
    """Puts the checksums into a finished Parquet file."""
    metadata = pq.read_metadata(path)
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    with path.open("r+b") as file:
        ranges = [chunk_range(group.column(c)) for group in groups for c in range(metadata.num_columns)]
        sums = np.array([_sum(file, place) for place in ranges], "<u4").tobytes()
        file.seek(-_TAIL.size, os.SEEK_END)
        length, _ = _TAIL.unpack(file.read())
        start = file.seek(-_TAIL.size - length, os.SEEK_END)
        footer = file.read()
        file.seek(start)
        file.write(sums + _SEAL.pack(len(ranges), _MAGIC, crc32c.crc32c(footer, crc32c.crc32c(sums))) + footer)


def missing_bytes(tail: bytes) -> int:
    """How many bytes of the end are needed; ``tail`` are the last ones, at least ``FIXED_BYTES``. Raises SealError."""
    length, magic = _TAIL.unpack(tail[-_TAIL.size :])
    if magic != b"PAR1":
        raise SealError("it does not end as a Parquet file")
    fixed = int(length) + FIXED_BYTES
    if fixed > len(tail):
        return fixed
    count, magic, _ = _SEAL.unpack_from(tail, len(tail) - fixed)
    if magic != _MAGIC:
        raise SealError("it has no checksums before its footer")
    return fixed + 4 * int(count)


def open_footer(tail: bytes) -> Footer:
    """The footer out of the end of the file, of at least ``missing_bytes(tail)`` bytes. Raises SealError."""
    needed = missing_bytes(tail)
    length, _ = _TAIL.unpack(tail[-_TAIL.size :])
    footer = tail[-_TAIL.size - length :]
    at = len(tail) - needed
    sums = tail[at : len(tail) - len(footer) - _SEAL.size]
    _, _, crc = _SEAL.unpack_from(tail, at + len(sums))
    if crc32c.crc32c(footer, crc32c.crc32c(sums)) != crc:
        raise SealError("the checksum of its footer does not match")
    try:
        metadata = pq.read_metadata(pa.BufferReader(b"PAR1" + footer))
    except (pa.ArrowException, OSError) as error:
        raise SealError(str(error)) from error
    if metadata.num_row_groups * metadata.num_columns * 4 != len(sums):
        raise SealError("it has another number of checksums than of column chunks")
    return Footer(metadata, np.frombuffer(sums, "<u4").reshape(-1, metadata.num_columns))


def matches(sums: Sequence[int], pieces: Sequence[bytes | memoryview]) -> bool:
    """Whether each piece has its checksum."""
    return all(crc32c.crc32c(piece) == int(wanted) for wanted, piece in zip(sums, pieces, strict=True))


def _sum(file: BinaryIO, place: ByteRange) -> int:
    file.seek(place.start)
    left, crc = place.length, 0
    while left:
        piece = file.read(min(left, _PIECE))
        crc = crc32c.crc32c(piece, crc)
        left -= len(piece)
    return crc
