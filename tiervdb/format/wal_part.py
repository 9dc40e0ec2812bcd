"""A part of the archived log: a head that can be read alone, and the records as the local log holds them.

Magic, version, length of the head, CRC32C of these and the head, head, body. See docs/formats/wal-archive.md.
"""

from __future__ import annotations

import struct

import crc32c

from tiervdb.format.envelope import damaged, newer

PART_VERSION = 1
HEAD_BYTES = 4096  # what is read to see a head; a longer one is read again
_MAGIC = b"TVPART"
_START = struct.Struct("<6sHI")
_CRC = struct.Struct("<I")
_START_BYTES = _START.size + _CRC.size


def join(head: bytes, body: bytes) -> bytes:
    """The bytes of a part."""
    start = _START.pack(_MAGIC, PART_VERSION, len(head))
    return b"".join((start, _CRC.pack(_check(start, head)), head, body))


def head_end(data: bytes | memoryview, name: str) -> int:
    """Where the head ends, from the first bytes of a part. CorruptionError naming ``name``."""
    if len(data) < _START_BYTES:
        raise damaged(name, f"it has {len(data)} bytes, fewer than its start")
    magic, _, length = _START.unpack_from(data)
    if magic != _MAGIC:
        raise damaged(name, f"it starts with {bytes(magic)!r} instead of {_MAGIC!r}")
    return _START_BYTES + int(length)


def split(data: bytes | memoryview, name: str) -> tuple[bytes, memoryview]:
    """Head and body of a part. CorruptionError or NewerFormatError naming ``name``."""
    end = head_end(data, name)
    if end > len(data):
        raise damaged(name, f"it ends after {len(data)} bytes, within its head")
    view = memoryview(data)
    head = bytes(view[_START_BYTES:end])
    if _CRC.unpack_from(view, _START.size)[0] != _check(view[: _START.size], head):
        raise damaged(name, "the checksum of its head does not match")
    version = int(_START.unpack_from(view)[1])
    if version > PART_VERSION:
        raise newer(name, version, PART_VERSION)
    return head, view[end:]


def _check(start: bytes | memoryview, head: bytes) -> int:
    checksum: int = crc32c.crc32c(head, crc32c.crc32c(start))
    return checksum
