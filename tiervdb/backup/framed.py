"""Framed objects in a store: written from a file without holding all of it, read whole or by ranges."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import IO

from tiervdb.errors import CorruptionError
from tiervdb.format.frames import FRAME_BYTES, HEADER_BYTES, Frame, FrameReader, FrameWriter
from tiervdb.storage.object_store import ByteRange, ObjectStore
from tiervdb.storage.os_errors import os_errors
from tiervdb.storage.wave import read_together

_AT_ONCE = 7  # frames that one request brings: just below the length at which requests are split
_AHEAD = 4  # requests in flight while a whole object is read


def encoded(writer: FrameWriter, file: IO[bytes], path: Path) -> Iterator[bytes]:
    """The object's bytes, piece by piece. CorruptionError if the file has another size than it had."""
    yield writer.header
    try:
        with os_errors("reading", path):
            while chunk := file.read(FRAME_BYTES):
                yield writer.add(chunk)
        yield writer.trailer()
    except ValueError as error:
        raise CorruptionError(f"{path} changed while it was read for a backup: {error}. Try again") from error


class FramedObject:
    """Reads one object. ``table``: the bytes of its table of frames, if they are known already."""

    def __init__(self, store: ObjectStore, key: str, reader: FrameReader, table: bytes | None = None) -> None:
        self._store = store
        self._key = key
        self._reader = reader
        self.table = table

    def chunks(self) -> Iterator[bytes]:
        """The plain bytes, in order, in pieces of bounded size."""
        header, *table = self._read([ByteRange(0, HEADER_BYTES), *self._table_span()])
        self._reader.check_header(header)
        self.table = table[0] if table else b""
        frames = self._reader.frames(self.table)
        groups = iter([frames[first : first + _AT_ONCE] for first in range(0, len(frames), _AT_ONCE)])
        with ThreadPoolExecutor(_AHEAD, thread_name_prefix="tiervdb-frames") as pool:
            asked = deque((group, pool.submit(self._fetched, group)) for group in islice(groups, _AHEAD))
            while asked:
                group, coming = asked.popleft()
                pieces = coming.result()
                asked.extend((more, pool.submit(self._fetched, more)) for more in islice(groups, 1))
                yield from self._decoded(group, pieces)

    def ranges(self, ranges: Sequence[ByteRange]) -> list[bytes]:
        """The plain bytes of each range; only the frames that hold them are read."""
        if self.table is None:
            self.table = b"".join(self._read(self._table_span()))
        numbers = sorted({number for wanted in ranges for number in _numbers(wanted)})
        touched = self._reader.frames(self.table, numbers)
        plain = dict(zip(numbers, self._decoded(touched, self._fetched(touched)), strict=True))
        return [self._cut(plain, wanted) for wanted in ranges]

    def _table_span(self) -> list[ByteRange]:
        start, length = self._reader.table_span
        if start < HEADER_BYTES:
            raise self._reader.damaged("it is shorter than its header and its table of frames")
        return [ByteRange(start, length)] if length else []

    def _fetched(self, frames: Sequence[Frame]) -> list[bytes]:
        return self._read([ByteRange(frame.start, frame.length) for frame in frames])

    def _decoded(self, frames: Sequence[Frame], pieces: Sequence[bytes]) -> Iterator[bytes]:
        for frame, piece in zip(frames, pieces, strict=True):
            yield self._reader.decode(frame, piece)

    def _read(self, ranges: Sequence[ByteRange]) -> list[bytes]:
        return read_together(self._store, self._key, ranges) if ranges else []

    def _cut(self, plain: dict[int, bytes], wanted: ByteRange) -> bytes:
        pieces = []
        for number in _numbers(wanted):
            start = number * FRAME_BYTES
            pieces.append(plain[number][max(wanted.start - start, 0) : wanted.end - start])
        found = b"".join(pieces)
        if len(found) != wanted.length:
            raise self._reader.damaged(f"it holds {len(found)} of the {wanted.length} bytes from {wanted.start} on")
        return found


def _numbers(wanted: ByteRange) -> range:
    """The numbers of the frames that hold a range."""
    return range(wanted.start // FRAME_BYTES, -(-wanted.end // FRAME_BYTES) if wanted.length else 0)
