"""Framed objects: bytes cut into frames of 1 MiB, each compressed and closed by itself.

Header, frames, and, where frames have different lengths (zstd), a table of them. A frame is closed by a checksum, or
sealed by a cipher that is given in; both are bound to the frame's number and to whether it is the last one, so that a
frame can be read alone and none can be swapped, repeated or dropped. See docs/formats/repository-objects.md.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import crc32c
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tiervdb.errors import CorruptionError
from tiervdb.format.envelope import newer
from tiervdb.format.repository_documents import Codec

FRAMES_VERSION = 1
FRAME_BYTES = 1 << 20

_MAGIC = b"TVFRM\0"
_HEADER = struct.Struct("<6sHB3xIQ")
_CRC = struct.Struct("<I")
_BINDING = struct.Struct("<QB")
_ZSTD, _SEALED = 1, 2
HEADER_BYTES = _HEADER.size + _CRC.size
_LENGTH = np.dtype("<u4")


class Closing(Protocol):
    """What closes frames. ``overhead``: bytes that it adds. ``sealed``: whether it is a cipher."""

    overhead: int
    sealed: bool

    def close(self, binding: bytes, number: int, data: bytes) -> bytes: ...

    def open(self, binding: bytes, number: int, data: bytes | memoryview) -> bytes:
        """The bytes that were closed; ValueError if they are not what was closed there."""
        ...


class Checksum:
    """CRC32C over the binding and the bytes: finds damage, not intent."""

    overhead = _CRC.size
    sealed = False

    def close(self, binding: bytes, number: int, data: bytes) -> bytes:  # noqa: ARG002 (the binding holds the number)
        return data + _CRC.pack(crc32c.crc32c(data, crc32c.crc32c(binding)))

    def open(self, binding: bytes, number: int, data: bytes | memoryview) -> bytes:  # noqa: ARG002
        if len(data) < self.overhead:
            raise ValueError("it is shorter than its checksum")
        body = bytes(data[: -self.overhead])
        if _CRC.unpack(data[-self.overhead :])[0] != crc32c.crc32c(body, crc32c.crc32c(binding)):
            raise ValueError("its checksum does not match")
        return body


@dataclass(frozen=True)
class Frame:
    """Where a frame lies in the object, and what it holds of the plain bytes."""

    number: int
    start: int
    length: int
    plain_start: int
    plain_length: int


class FrameWriter:
    """Encodes ``size`` plain bytes that come in chunks of FRAME_BYTES, the last one shorter."""

    def __init__(self, size: int, codec: Codec, closing: Closing) -> None:
        flags = (_ZSTD if codec == "zstd" else 0) | (_SEALED if closing.sealed else 0)
        head = _HEADER.pack(_MAGIC, FRAMES_VERSION, flags, FRAME_BYTES, size)
        self.header = head + _CRC.pack(crc32c.crc32c(head))
        self._closing = closing
        self._codec = codec
        self._size = size
        self._done = 0
        self._lengths: list[int] = []

    def add(self, chunk: bytes | memoryview) -> bytes:
        """The next frame. ValueError if the chunk has not the length that is due."""
        due = min(FRAME_BYTES, self._size - self._done)
        if len(chunk) != due or not due:
            raise ValueError(f"a chunk of {len(chunk)} bytes where {due} are due")
        number = len(self._lengths)
        self._done += due
        payload = compress(chunk) if self._codec == "zstd" else bytes(chunk)
        frame = self._closing.close(_binding(self.header, number, self._done == self._size), number, payload)
        self._lengths.append(len(frame))
        return frame

    def trailer(self) -> bytes:
        """What follows the last frame. ValueError if bytes are missing."""
        if self._done != self._size:
            raise ValueError(f"only {self._done} of {self._size} bytes came")
        if self._codec != "zstd":
            return b""
        table = np.array(self._lengths, _LENGTH).tobytes()
        return table + _CRC.pack(crc32c.crc32c(table))


def encode(data: bytes | memoryview, codec: Codec, closing: Closing) -> bytes:
    """A whole framed object."""
    writer = FrameWriter(len(data), codec, closing)
    view = memoryview(data)
    frames = [writer.add(view[i : i + FRAME_BYTES]) for i in range(0, len(view), FRAME_BYTES)]
    return b"".join((writer.header, *frames, writer.trailer()))


class FrameReader:
    """Finds and decodes frames of an object of ``size`` plain and ``stored_size`` stored bytes, called ``name``."""

    def __init__(self, size: int, stored_size: int, codec: Codec, closing: Closing, name: str) -> None:
        self._size = size
        self._stored_size = stored_size
        self._codec = codec
        self._closing = closing
        self._name = name
        self._count = -(-size // FRAME_BYTES)
        flags = (_ZSTD if codec == "zstd" else 0) | (_SEALED if closing.sealed else 0)
        head = _HEADER.pack(_MAGIC, FRAMES_VERSION, flags, FRAME_BYTES, size)
        self._header = head + _CRC.pack(crc32c.crc32c(head))

    @property
    def table_span(self) -> tuple[int, int]:
        """Where the table of lengths lies: start and length; the length is 0 if there is none."""
        length = self._count * _LENGTH.itemsize + _CRC.size if self._codec == "zstd" else 0
        return self._stored_size - length, length

    def check_header(self, data: bytes | memoryview) -> None:
        """CorruptionError or NewerFormatError unless the object starts as its description says."""
        found = bytes(data[:HEADER_BYTES])
        if found == self._header:
            return
        version = int.from_bytes(found[6:8], "little")
        intact = found[_HEADER.size :] == _CRC.pack(crc32c.crc32c(found[: _HEADER.size]))
        if intact and found[: len(_MAGIC)] == _MAGIC and version > FRAMES_VERSION:
            raise newer(self._name, version, FRAMES_VERSION)
        raise self.damaged("its header is not that of the object that is listed")

    def frames(self, table: bytes | memoryview = b"", numbers: Iterable[int] | None = None) -> list[Frame]:
        """All frames, or those of these numbers. ``table``: the bytes of ``table_span``."""
        lengths = self._lengths(table)
        ends = HEADER_BYTES + np.cumsum(lengths, dtype=np.int64)
        end = int(ends[-1]) if len(ends) else HEADER_BYTES
        if end != self.table_span[0]:
            raise self.damaged(f"its frames end at byte {end} of {self.table_span[0]}")
        found = []
        for number in range(self._count) if numbers is None else numbers:
            if number >= self._count:
                raise self.damaged(f"it has no frame {number}, but {self._count} frames")
            length, plain = int(lengths[number]), number * FRAME_BYTES
            found.append(Frame(number, int(ends[number]) - length, length, plain, min(FRAME_BYTES, self._size - plain)))
        return found

    def decode(self, frame: Frame, data: bytes | memoryview) -> bytes:
        """The plain bytes of one frame."""
        binding = _binding(self._header, frame.number, frame.number == self._count - 1)
        try:
            payload = self._closing.open(binding, frame.number, data)
            plain = decompress(payload, frame.plain_length) if self._codec == "zstd" else payload
        except ValueError as error:
            raise self.damaged(f"frame {frame.number}: {error}") from error
        if len(plain) != frame.plain_length:
            raise self.damaged(f"frame {frame.number} holds {len(plain)} bytes instead of {frame.plain_length}")
        return plain

    def decode_all(self, data: bytes | memoryview) -> Iterator[bytes]:
        """The plain bytes of the whole object, frame by frame."""
        view = memoryview(data)
        if len(view) != self._stored_size:
            raise self.damaged(f"it has {len(view)} bytes instead of {self._stored_size}")
        self.check_header(view)
        start, length = self.table_span
        for frame in self.frames(view[start : start + length]):
            yield self.decode(frame, view[frame.start : frame.start + frame.length])

    def damaged(self, what: str) -> CorruptionError:
        return CorruptionError(
            f"{self._name} is damaged: {what}. Run `tiervdb verify --deep`, and use another backup or an off-site copy"
        )

    def _lengths(self, table: bytes | memoryview) -> npt.NDArray[np.int64]:
        if self._codec != "zstd":
            overhead = self._closing.overhead
            lengths = np.full(self._count, FRAME_BYTES + overhead, np.int64)
            lengths[-1:] -= self._count * FRAME_BYTES - self._size
            return lengths
        if len(table) != self.table_span[1] or self.table_span[0] < HEADER_BYTES:
            raise self.damaged("its table of frames is cut short")
        body = bytes(table[: -_CRC.size])
        if _CRC.unpack(table[-_CRC.size :])[0] != crc32c.crc32c(body):
            raise self.damaged("the checksum of its table of frames does not match")
        return np.frombuffer(body, _LENGTH).astype(np.int64)


def compress(data: bytes | memoryview) -> bytes:
    """zstd, fast."""
    compressed: bytes = pa.Codec("zstd", compression_level=1).compress(data, asbytes=True)
    return compressed


def decompress(data: bytes, size: int) -> bytes:
    """Never makes more than ``size`` bytes; ValueError if it is not what ``compress`` made."""
    try:
        plain: bytes = pa.Codec("zstd").decompress(data, decompressed_size=size, asbytes=True)
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"it does not decompress ({error})") from error
    return plain


def _binding(header: bytes, number: int, last: bool) -> bytes:
    return header + _BINDING.pack(number, last)
